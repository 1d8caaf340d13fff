//! How to connect to a cache: a few lines for each language, ready to be run.

use super::cache::{Cache, Endpoint};

/// Lines for a language or a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// Where and how to connect.
struct Target<'a> {
    host: &'a str,
    port: &'a str,
    /// Of Memcached: all nodes, for clients without Auto Discovery.
    nodes: Vec<&'a Endpoint>,
    tls: bool,
    has_users: bool,
    has_token: bool,
}

/// The lines for a cache that can be reached; none for one that cannot be yet.
pub(super) fn snippets(cache: &Cache) -> Vec<Snippet> {
    let Some(endpoint) = cache.endpoints.first() else { return Vec::new() };
    let target = Target {
        host: &endpoint.host,
        port: &endpoint.port,
        nodes: cache.nodes.iter().filter_map(|node| node.endpoint.as_ref()).collect(),
        tls: cache.tls,
        has_users: !cache.user_groups.is_empty(),
        has_token: cache.auth_token,
    };
    let mut of = if cache.is_memcached() { memcached(&target) } else { redis(&target) };
    if cache.is_memcached() && cache.tls {
        // The other clients have no word for TLS.
        of.retain(|(name, _)| matches!(*name, "Shell" | "Python"));
    }
    of.into_iter().map(|(name, text)| Snippet { name, text }).collect()
}

fn redis(target: &Target<'_>) -> Vec<(&'static str, String)> {
    let Target { host, port, tls, has_users, has_token, .. } = *target;
    let scheme = if tls { "rediss" } else { "redis" };
    let user = match (has_users, has_token) {
        (true, _) => "USER:PASSWORD@",
        (_, true) => ":TOKEN@",
        _ => "",
    };
    let url = format!("{scheme}://{user}{host}:{port}");
    let cli_tls = if tls { " --tls --cacert ca.pem" } else { "" };
    let cli_user = match (has_users, has_token) {
        (true, _) => " --user USER --askpass",
        (_, true) => " --askpass",
        _ => "",
    };
    let python_tls = if tls { ", ssl_ca_certs=\"ca.pem\"" } else { "" };
    let go_x509 = if tls { "    \"crypto/x509\"\n" } else { "" };
    let go_os = if tls { "    \"os\"\n" } else { "" };
    let go_tls = if tls {
        "    pem, err := os.ReadFile(\"ca.pem\")\n    if err != nil {\n        panic(err)\n    }\n    \
         options.TLSConfig.RootCAs = x509.NewCertPool()\n    options.TLSConfig.RootCAs.AppendCertsFromPEM(pem)\n"
    } else {
        ""
    };
    let java_tls = if tls {
        "// Start Java with -Djavax.net.ssl.trustStore=..., made of ca.pem by keytool.\n"
    } else {
        ""
    };
    let node_tls = if tls { "import { readFileSync } from \"node:fs\";\n" } else { "" };
    let node_options = if tls { ", socket: { tls: true, ca: readFileSync(\"ca.pem\") }" } else { "" };
    let rust = if tls {
        format!(
            "// redis = {{ version = \"1\", features = [\"tls-rustls\"] }}\n// rustls = \"0.23\"\nuse redis::{{Client, Commands, TlsCertificates}};\n\n\
             fn main() -> Result<(), Box<dyn std::error::Error>> {{\n    let root_cert = Some(std::fs::read(\"ca.pem\")?);\n    \
             let certificates = TlsCertificates {{ client_tls: None, root_cert }};\n    \
             let client = Client::build_with_tls(\"{url}\", certificates)?;\n    \
             let mut cache = client.get_connection()?;\n    let _: () = cache.set_ex(\"user:1\", \"ann\", 60)?;\n    \
             let name: Option<String> = cache.get(\"user:1\")?;\n    println!(\"{{name:?}}\");\n    Ok(())\n}}\n"
        )
    } else {
        format!(
            "// redis = \"1\"\nuse redis::{{Client, Commands}};\n\nfn main() -> redis::RedisResult<()> {{\n    \
             let mut cache = Client::open(\"{url}\")?.get_connection()?;\n    \
             let _: () = cache.set_ex(\"user:1\", \"ann\", 60)?;\n    \
             let name: Option<String> = cache.get(\"user:1\")?;\n    println!(\"{{name:?}}\");\n    Ok(())\n}}\n"
        )
    };
    vec![
        (
            "redis-cli",
            format!(
                "redis-cli{cli_tls}{cli_user} -h {host} -p {port} set user:1 ann ex 60\nredis-cli{cli_tls}{cli_user} -h {host} -p {port} get user:1\n"
            ),
        ),
        (
            "Python",
            format!(
                "# pip install redis\nimport redis\n\ncache = redis.Redis.from_url(\"{url}\", decode_responses=True{python_tls})\n\
                 cache.set(\"user:1\", \"ann\", ex=60)\nprint(cache.get(\"user:1\"))\n"
            ),
        ),
        (
            "Node.js",
            format!(
                "// npm install redis\nimport {{ createClient }} from \"redis\";\n{node_tls}\n\
                 const cache = createClient({{ url: \"{url}\"{node_options} }});\nawait cache.connect();\n\
                 await cache.set(\"user:1\", \"ann\", {{ EX: 60 }});\nconsole.log(await cache.get(\"user:1\"));\nawait cache.close();\n"
            ),
        ),
        (
            "Java",
            format!(
                "// redis.clients:jedis\nimport redis.clients.jedis.JedisPooled;\n\n{java_tls}class Example {{\n    \
                 public static void main(String[] arguments) {{\n        try (JedisPooled cache = new JedisPooled(\"{url}\")) {{\n            \
                 cache.setex(\"user:1\", 60, \"ann\");\n            System.out.println(cache.get(\"user:1\"));\n        }}\n    }}\n}}\n"
            ),
        ),
        (
            "Go",
            format!(
                "// go get github.com/redis/go-redis/v9\npackage main\n\nimport (\n    \"context\"\n{go_x509}    \"fmt\"\n{go_os}    \"time\"\n\n    \
                 \"github.com/redis/go-redis/v9\"\n)\n\nfunc main() {{\n    options, err := redis.ParseURL(\"{url}\")\n    \
                 if err != nil {{\n        panic(err)\n    }}\n{go_tls}    cache, all := redis.NewClient(options), context.Background()\n    \
                 if err := cache.Set(all, \"user:1\", \"ann\", time.Minute).Err(); err != nil {{\n        panic(err)\n    }}\n    \
                 fmt.Println(cache.Get(all, \"user:1\").Result())\n}}\n"
            ),
        ),
        ("Rust", rust),
    ]
}

fn memcached(target: &Target<'_>) -> Vec<(&'static str, String)> {
    let Target { host, port, ref nodes, .. } = *target;
    let all = |form: &dyn Fn(&Endpoint) -> String| nodes.iter().map(|node| form(node)).collect::<Vec<_>>();
    let pairs = all(&|node| format!("(\"{}\", {})", node.host, node.port)).join(", ");
    let plain = all(&|node| node.joined()).join(",");
    let quoted = all(&|node| format!("\"{}\"", node.joined())).join(", ");
    let urls = all(&|node| format!("\"memcache://{}\"", node.joined())).join(", ");
    let nc_tls = if target.tls {
        format!("openssl s_client -quiet -CAfile ca.pem -connect {host}:{port}")
    } else {
        format!("nc {host} {port}")
    };
    vec![
        (
            "Shell",
            format!(
                "printf 'config get cluster\\r\\nset user:1 0 60 3\\r\\nann\\r\\nget user:1\\r\\nquit\\r\\n' | {nc_tls}\n"
            ),
        ),
        (
            "Python",
            if target.tls {
                format!(
                    "# pip install pymemcache\nimport ssl\n\nfrom pymemcache.client.base import Client\n\n\
                     context = ssl.create_default_context(cafile=\"ca.pem\")\n\
                     cache = Client((\"{host}\", {port}), tls_context=context)\ncache.set(\"user:1\", b\"ann\", expire=60)\n\
                     print(cache.get(\"user:1\"))\n"
                )
            } else {
                format!(
                    "# pip install pymemcache\nfrom pymemcache.client.hash import HashClient\n\n\
                     cache = HashClient([{pairs}])\ncache.set(\"user:1\", b\"ann\", expire=60)\n\
                     print(cache.get(\"user:1\"))\n"
                )
            },
        ),
        (
            "Node.js",
            format!(
                "// npm install memjs\nimport memjs from \"memjs\";\n\nconst cache = memjs.Client.create(\"{plain}\");\n\
                 await cache.set(\"user:1\", \"ann\", {{ expires: 60 }});\n\
                 console.log((await cache.get(\"user:1\")).value.toString());\ncache.close();\n"
            ),
        ),
        (
            "Java",
            format!(
                "// com.amazonaws:elasticache-java-cluster-client\nimport java.net.InetSocketAddress;\nimport net.spy.memcached.MemcachedClient;\n\n\
                 class Example {{\n    public static void main(String[] arguments) throws Exception {{\n        \
                 var cache = new MemcachedClient(new InetSocketAddress(\"{host}\", {port}));\n        \
                 cache.set(\"user:1\", 60, \"ann\").get();\n        System.out.println(cache.get(\"user:1\"));\n        cache.shutdown();\n    }}\n}}\n"
            ),
        ),
        (
            "Go",
            format!(
                "// go get github.com/bradfitz/gomemcache/memcache\npackage main\n\nimport (\n    \"fmt\"\n\n    \
                 \"github.com/bradfitz/gomemcache/memcache\"\n)\n\nfunc main() {{\n    cache := memcache.New({quoted})\n    \
                 if err := cache.Set(&memcache.Item{{Key: \"user:1\", Value: []byte(\"ann\"), Expiration: 60}}); err != nil {{\n        \
                 panic(err)\n    }}\n    item, err := cache.Get(\"user:1\")\n    if err != nil {{\n        panic(err)\n    }}\n    \
                 fmt.Println(string(item.Value))\n}}\n"
            ),
        ),
        (
            "Rust",
            format!(
                "// memcache = {{ version = \"0.21\", default-features = false }}\nfn main() -> Result<(), memcache::MemcacheError> {{\n    \
                 let cache = memcache::connect(vec![{urls}])?;\n    cache.set(\"user:1\", \"ann\", 60)?;\n    \
                 println!(\"{{:?}}\", cache.get::<String>(\"user:1\")?);\n    Ok(())\n}}\n"
            ),
        ),
    ]
}
