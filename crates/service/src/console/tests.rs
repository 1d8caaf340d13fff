//! The console over a record file: signing in, forms of others, keys that may not, forms of several pages. What browsers
//! make of it, `tests/test_console.py` tries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::api::ec2::default_records;
use crate::identity::AccessKey;
use crate::metric::MetricStore;
use crate::name::Names;
use crate::name::endpoint::Zone;
use crate::resource::cluster::{Cluster, REGION_NODES_MAX};
use crate::resource::group::Group;
use crate::resource::iam::{Entity, Permissions, User};
use crate::resource::network::{DEFAULT_VPC_BASE, Network};
use crate::resource::parameter_group::ParameterGroup;
use crate::resource::subnet_group::SubnetGroup;
use crate::state::{self, FileRecords};
use crate::vault::Vault;

/// 2026-11-23T14:00:00Z.
const NOW_MS: u64 = 1_795_442_400_000;

/// Nodes that are not there.
struct NoNodes;

impl Nodes for NoNodes {
    fn ask(&self, _: &str, _: &str, _: Question<'_>) -> Result<Reply, String> {
        Err("there are no nodes".to_owned())
    }
}

struct Site {
    console: Console,
    root: AccessKey,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        Site::with_clock(|| NOW_MS)
    }

    fn with_clock(clock: fn() -> u64) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let records = Arc::new(FileRecords::open(folder.path()).unwrap());
        let app = Arc::new(App {
            records,
            region: "us-east-1".to_owned(),
            clock,
            names: Arc::new(Names::new(Zone { suffix: "abc123".to_owned(), region_code: "use1".to_owned() })),
            vault: Vault::new(folder.path(), folder.path().join("buckets")),
            metrics: Arc::new(MetricStore::in_memory().unwrap()),
            release: None,
            nodes_max: REGION_NODES_MAX,
            notifications: None,
        });
        let mut count = 0;
        let mut digits = || {
            count += 1;
            format!("{count:017x}")
        };
        let mut network = Network::default_of("us-east-1", DEFAULT_VPC_BASE, &mut digits);
        network.split = true;
        let base = network.subnets[0].base;
        let mut changes = default_records(&network, base, &mut digits).unwrap();
        let root = AccessKey::generate("000000000000", "root").unwrap();
        changes.extend([state::create(&network).unwrap(), state::create(&root).unwrap()]);
        app.records.apply(&changes).unwrap();
        Site { console: Console::new(app, Arc::new(NoNodes)), root, _folder: folder }
    }

    /// A key of a new user with one policy.
    fn key_of(&self, statements: &str) -> AccessKey {
        let document = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let permissions = Permissions {
            inline: BTreeMap::from([("p".to_owned(), document)]),
            attached: BTreeSet::new(),
            boundary: None,
        };
        let entity = Entity {
            name: "ann".to_owned(),
            path: "/".to_owned(),
            unique_id: "AIDAX".to_owned(),
            created_ms: 0,
            permissions,
            tags: BTreeMap::new(),
        };
        let key = AccessKey::generate("000000000000", "ann").unwrap();
        let changes = [state::create(&User { entity }).unwrap(), state::create(&key).unwrap()];
        self.console.app.records.apply(&changes).unwrap();
        key
    }

    fn answer(&self, method: &str, target: &str, cookie: &str, body: &str) -> Seen {
        self.answer_with(method, target, &[("cookie", cookie)], body)
    }

    fn answer_with(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Seen {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut all = vec![("host".to_owned(), "127.0.0.1:9400".to_owned())];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: all,
            body: body.as_bytes().to_vec(),
            source: None,
        };
        let answer = self.console.answer(&request).expect("a page of the console");
        let header = |wanted: &str| {
            let mut headers = answer.headers.iter();
            headers.find(|(name, _)| *name == wanted).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        Seen {
            status: answer.status,
            location: header("location"),
            cookie: header("set-cookie"),
            policy: header("content-security-policy"),
            text: String::from_utf8(answer.body).unwrap(),
        }
    }

    fn sign_in(&self, key: &AccessKey) -> Browser<'_> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("access_key_id", &key.id).append_pair("secret_access_key", &key.secret);
        let seen = self.answer("POST", "/console/sign-in", "", &form.finish());
        assert_eq!(seen.status, 303, "{}", seen.text);
        let cookie = seen.cookie.split(';').next().unwrap().to_owned();
        let page = self.answer("GET", "/console/create", &cookie, "").text;
        Browser { site: self, form_token: hidden(&page, "form_token"), cookie }
    }

    fn count<T: state::Resource>(&self) -> usize {
        state::list_all::<T>(self.console.app.records.as_ref()).unwrap().len()
    }
}

/// What came back.
struct Seen {
    status: u16,
    location: String,
    cookie: String,
    policy: String,
    text: String,
}

struct Browser<'a> {
    site: &'a Site,
    cookie: String,
    form_token: String,
}

impl Browser<'_> {
    fn get(&self, target: &str) -> Seen {
        self.site.answer("GET", target, &self.cookie, "")
    }

    fn post(&self, target: &str, fields: &[(&str, &str)]) -> Seen {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("form_token", &self.form_token).extend_pairs(fields);
        self.site.answer("POST", target, &self.cookie, &form.finish())
    }
}

/// The value of a field in a page.
fn hidden(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).expect(name);
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn nothing_is_shown_without_a_session() {
    let site = Site::new();
    let seen = site.answer("GET", "/console/groups/shop?x=1", "", "");
    assert_eq!(
        (seen.status, seen.location.as_str()),
        (303, "/console/sign-in?to=%2Fconsole%2Fgroups%2Fshop%3Fx%3D1")
    );
    assert_eq!(site.answer("GET", "/console/caches/live", "", "").status, 401);
    assert_eq!(site.answer("GET", "/console/caches", "larder_session=abc", "").status, 303);
    assert_eq!(site.answer("DELETE", "/console/caches", "", "").status, 405);
    let plain = Request { method: "POST".into(), path: "/".into(), ..Request::default() };
    assert!(site.console.answer(&plain).is_none(), "calls of the API are not for the console");
}

#[test]
fn only_the_holder_of_a_key_gets_in() {
    let site = Site::new();
    let form =
        |id: &str, secret: &str| format!("access_key_id={id}&secret_access_key={secret}&to=//evil.example");
    for (id, secret) in [(site.root.id.as_str(), "wrong"), ("AKIANOSUCH", "wrong"), ("", "")] {
        let seen = site.answer("POST", "/console/sign-in", "", &form(id, secret));
        assert_eq!((seen.status, seen.cookie.as_str()), (403, ""));
    }
    let browser = site.sign_in(&site.root);
    assert!(browser.cookie.starts_with("larder_session="));
    let secret: String = form_urlencoded::byte_serialize(site.root.secret.as_bytes()).collect();
    let seen = site.answer("POST", "/console/sign-in", "", &form(&site.root.id, &secret));
    assert_eq!(seen.location, "/console", "nobody is led to another site");
    assert!(seen.cookie.contains("HttpOnly") && seen.cookie.contains("SameSite=Strict"), "{}", seen.cookie);
    let page = browser.get("/console/caches");
    assert_eq!(page.status, 200);
    assert!(page.policy.contains("default-src 'none'") && !page.policy.contains("unsafe"), "{}", page.policy);
    assert!(!page.text.contains(&site.root.secret));
}

#[test]
fn a_session_ends_with_its_key_by_signing_out_and_in_time() {
    static NOW: AtomicU64 = AtomicU64::new(NOW_MS);
    let site = Site::with_clock(|| NOW.load(Ordering::Relaxed));
    let browser = site.sign_in(&site.root);
    assert_eq!(browser.post("/console/sign-out", &[]).location, "/console/sign-in");
    assert_eq!(browser.get("/console/caches").status, 303);

    let browser = site.sign_in(&site.root);
    NOW.fetch_add(session::IDLE_MS_MAX + 1, Ordering::Relaxed);
    assert_eq!(browser.get("/console/caches").status, 303, "an idle session is over");

    let browser = site.sign_in(&site.root);
    let off = AccessKey { inactive: true, ..site.root.clone() };
    site.console.app.records.apply(&[state::put_any(&off).unwrap()]).unwrap();
    assert_eq!(browser.get("/console/caches").status, 303, "a key that is switched off opens nothing");
    site.console.app.records.apply(&[state::put_any(&site.root).unwrap()]).unwrap();
    assert_eq!(browser.get("/console/caches").status, 303, "and its session does not come back");
}

/// What a beginner sends from the review.
const BEGINNER: &[(&str, &str)] = &[
    ("engine", "redis"),
    ("name", "shop"),
    ("node_type", "cache.t3.micro"),
    ("replicas", "0"),
    ("minor_upgrades", "on"),
    ("step", "review"),
    ("go", "create"),
];

#[test]
fn forms_of_other_sites_do_nothing() {
    let site = Site::new();
    let browser = site.sign_in(&site.root);
    let other = site.sign_in(&site.root);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(BEGINNER);
    let without = form.finish();
    let with = |token: &str| format!("{without}&form_token={token}");
    for body in [without.clone(), with(""), with(&other.form_token), with("0")] {
        let seen = site.answer("POST", "/console/create", &browser.cookie, &body);
        assert_eq!(seen.status, 403);
    }
    for header in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:9401"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let headers = [("cookie", browser.cookie.as_str()), header];
        let seen = site.answer_with("POST", "/console/create", &headers, &with(&browser.form_token));
        assert_eq!(seen.status, 403, "{header:?}");
        assert_eq!(site.answer_with("POST", "/console/sign-in", &[header], "").status, 403, "{header:?}");
    }
    assert_eq!(site.count::<Group>(), 0);
    let headers = [("cookie", browser.cookie.as_str()), ("origin", "http://127.0.0.1:9400")];
    let seen = site.answer_with("POST", "/console/create", &headers, &with(&browser.form_token));
    assert_eq!((seen.status, seen.location.as_str()), (303, "/console/groups/shop"), "{}", seen.text);
    assert_eq!(site.count::<Group>(), 1);
}

#[test]
fn a_key_that_may_only_look_sees_and_changes_nothing() {
    let site = Site::new();
    site.sign_in(&site.root).post("/console/create", BEGINNER);
    let key = site.key_of(
        r#"{"Effect":"Allow","Action":["elasticache:Describe*","elasticache:List*","ec2:Describe*"],"Resource":"*"}"#,
    );
    let browser = site.sign_in(&key);
    let list = browser.get("/console/caches");
    assert!(
        list.status == 200 && list.text.contains("shop") && list.text.contains("user/ann"),
        "{}",
        list.text
    );
    assert_eq!(browser.get("/console/groups/shop").status, 200);
    assert_eq!(browser.get("/console/groups/shop/slow-log").status, 403, "what others asked for is data");
    let other: Vec<(&str, &str)> = BEGINNER
        .iter()
        .map(|(name, value)| (*name, if *name == "name" { "other" } else { *value }))
        .collect();
    for (path, fields) in [
        ("/console/create", other.as_slice()),
        ("/console/groups/shop/delete", &[("name", "shop")]),
        ("/console/groups/shop/reboot", &[("node", "shop-001")]),
        ("/console/groups/shop/failover", &[]),
        ("/console/groups/shop/backup", &[("snapshot", "s")]),
        ("/console/groups/shop/replicas", &[("replicas", "1")]),
        ("/console/groups/shop/prompt", &[("command", "get a")]),
        ("/console/groups/shop/change", &[("failover", "on")]),
    ] {
        let seen = browser.post(path, fields);
        assert_eq!(seen.status, 403, "{path}");
        assert!(seen.text.contains("is not authorized to perform: elasticache:"), "{path}: {}", seen.text);
    }
    assert_eq!((site.count::<Group>(), site.count::<Cluster>()), (1, 1));
}

#[test]
fn each_page_of_the_form_refuses_as_the_api_does_and_keeps_what_was_typed() {
    let site = Site::new();
    let browser = site.sign_in(&site.root);
    let page = browser.get("/console/create?engine=redis").text;
    assert!(page.contains("value=\"cache.t3.micro\" selected"), "{page}");
    let step = |step, go, more: &[(&'static str, &'static str)]| {
        let mut fields = vec![
            ("engine", "redis"),
            ("node_type", "cache.t3.micro"),
            ("replicas", "1"),
            ("step", step),
            ("go", go),
        ];
        fields.extend(more);
        browser.post("/console/create", &fields)
    };
    let seen = step("settings", "network", &[("name", "<b>shop--")]);
    assert!(seen.status == 400 && seen.text.contains("A new Redis OSS cache"), "{}", seen.text);
    assert!(seen.text.contains("&#60;b&#62;shop--") && !seen.text.contains("<b>shop"), "{}", seen.text);
    assert!(seen.text.contains("role=\"alert\""));

    let seen = step("settings", "network", &[("name", "shop"), ("replicas", "x")]);
    assert_eq!(seen.status, 200, "the first of two fields of a name counts");
    assert!(seen.text.contains("<h1>Network and access</h1>") && seen.text.contains("subnet-0"));
    assert!(seen.text.contains("<input type=\"hidden\" name=\"name\" value=\"shop\">"));

    let seen = step("network", "upkeep", &[("name", "shop"), ("subnet_group", "+"), ("new_group", "own")]);
    assert!(seen.status == 400 && seen.text.contains("<h1>Network and access</h1>"), "{}", seen.text);
    assert!(seen.text.contains("name=\"new_group\" value=\"own\""));

    let seen = step("upkeep", "review", &[("name", "shop"), ("maintenance_window", "sometime")]);
    assert!(seen.status == 400 && seen.text.contains("value=\"sometime\""), "{}", seen.text);

    let back = step("network", "settings", &[("name", "not--valid")]);
    assert!(back.status == 200 && back.text.contains("value=\"not--valid\""), "going back asks for nothing");
    assert_eq!((site.count::<Group>(), site.count::<SubnetGroup>()), (0, 0), "a rehearsal leaves nothing");
}

#[test]
fn a_new_subnet_group_is_made_with_the_cache_and_both_stand_in_the_review() {
    let site = Site::new();
    let browser = site.sign_in(&site.root);
    let page = browser.get("/console/create?engine=memcached").text;
    assert!(page.contains("Number of nodes") && !page.contains("Number of replicas"));
    let network = browser
        .post(
            "/console/create",
            &[
                ("engine", "memcached"),
                ("name", "pages"),
                ("nodes", "2"),
                ("node_type", "cache.t3.micro"),
                ("step", "settings"),
                ("go", "network"),
            ],
        )
        .text;
    let subnet = hidden(&network, "new_subnet");
    let mut fields = vec![
        ("engine", "memcached"),
        ("name", "pages"),
        ("nodes", "2"),
        ("node_type", "cache.t3.micro"),
        ("minor_upgrades", "on"),
        ("subnet_group", "+"),
        ("new_group", "own"),
        ("new_subnet", &subnet),
        ("tags", "team=web\nempty"),
    ];
    fields.extend([("step", "upkeep"), ("go", "review")]);
    let review = browser.post("/console/create", &fields);
    assert_eq!(review.status, 200, "{}", review.text);
    for part in [
        "aws elasticache create-cache-subnet-group",
        "--num-cache-nodes 2",
        "--tags Key=team,Value=web Key=empty,Value=",
        "aws_elasticache_subnet_group.own.name",
        "In AWS these nodes cost $24.82 a month",
    ] {
        assert!(review.text.contains(part), "{part}: {}", review.text);
    }
    let at = fields.len() - 2;
    fields.splice(at.., [("step", "review"), ("go", "create")]);
    let made = browser.post("/console/create", &fields);
    assert_eq!(made.location, "/console/clusters/pages", "{}", made.text);
    assert_eq!((site.count::<Cluster>(), site.count::<SubnetGroup>()), (1, 1));
    let page = browser.get("/console/clusters/pages").text;
    assert!(page.contains("pages is being created."), "{page}");
    assert!(!browser.get("/console/clusters/pages").text.contains("pages is being created."), "said once");
    let again = browser.post("/console/create", &fields);
    assert!(again.status == 400 && again.text.contains("already exists"), "{}", again.text);
}

#[test]
fn a_fresh_cache_evicts_as_a_cache_should_and_the_review_says_so() {
    let site = Site::new();
    let browser = site.sign_in(&site.root);
    let page = browser.get("/console/create?engine=redis").text;
    assert!(page.contains("<option value=\"+cache\" selected>"), "{page}");
    let with = |name: &'static str, version: &'static str, go: &'static str| {
        let fields = [
            ("engine", "redis"),
            ("name", name),
            ("replicas", "0"),
            ("node_type", "cache.t3.micro"),
            ("version", version),
            ("parameter_group", "+cache"),
            ("minor_upgrades", "on"),
            ("step", if go == "create" { "review" } else { "settings" }),
            ("go", go),
        ];
        browser.post("/console/create", &fields)
    };
    let review = with("shop", "7.1", "review");
    for part in [
        "aws elasticache create-cache-parameter-group",
        "--parameter-name-values ParameterName=maxmemory-policy,ParameterValue=allkeys-lhd",
        "--cache-parameter-group-name larder-cache-redis7",
        "aws_elasticache_parameter_group.larder-cache-redis7.name",
        "maxmemory-policy=allkeys-lhd",
    ] {
        assert!(review.text.contains(part), "{part}: {}", review.text);
    }
    assert_eq!(site.count::<ParameterGroup>(), 0, "a rehearsal leaves nothing");
    assert_eq!(with("shop", "7.1", "create").status, 303);
    assert_eq!(site.count::<ParameterGroup>(), 1);
    let page = browser.get("/console/parameter-groups/larder-cache-redis7").text;
    assert!(page.contains("noeviction, allkeys-lhd"), "what it is set to is among what is allowed: {page}");
    // It is there now, for the next one too; another family has its own.
    let review = with("other", "7.0", "review");
    assert!(!review.text.contains("create-cache-parameter-group"), "{}", review.text);
    assert!(review.text.contains("--cache-parameter-group-name larder-cache-redis7"), "{}", review.text);
    assert_eq!(with("old", "6.2", "create").status, 303);
    let groups = state::list_all::<ParameterGroup>(site.console.app.records.as_ref()).unwrap();
    let names: Vec<&str> = groups.iter().map(|group| group.value.name.as_str()).collect();
    assert_eq!(names, ["larder-cache-redis6-x", "larder-cache-redis7"]);

    // Who may not have it made begins with the default one.
    let may = r#"{"Effect":"Allow","Action":["elasticache:Describe*","elasticache:CreateReplicationGroup"],"Resource":"*"}"#;
    let page = site.sign_in(&site.key_of(may)).get("/console/create?engine=valkey").text;
    assert!(page.contains("<option value=\"\" selected>"), "{page}");
}

#[test]
fn a_cache_is_deleted_only_by_its_name() {
    let site = Site::new();
    let browser = site.sign_in(&site.root);
    browser.post("/console/create", BEGINNER);
    let page = browser.get("/console/groups/shop/delete").text;
    assert!(page.contains("gone for good") && page.contains("Type shop to delete it"), "{page}");
    let seen = browser.post("/console/groups/shop/delete", &[("name", "Shop")]);
    assert!(seen.status == 400 && seen.text.contains("type its name"), "{}", seen.text);
}

#[test]
fn pages_answer_and_what_is_not_there_is_said() {
    let site = Site::new();
    let browser = site.sign_in(&site.root);
    assert!(browser.get("/console/caches").text.contains("There are no caches yet"));
    browser.post("/console/create", BEGINNER);
    for page in [
        "",
        "/prompt",
        "/parameters",
        "/live",
        "/delete",
        "/reboot",
        "/failover",
        "/backup",
        "/replicas",
        "/change",
        "/slow-log",
    ] {
        let seen = browser.get(&format!("/console/groups/shop{page}"));
        assert_eq!(seen.status, 200, "{page}: {}", seen.text);
    }
    let family = [("act", "create"), ("name", "Own"), ("family", "redis7"), ("description", "d")];
    let made = browser.post("/console/parameter-groups", &family);
    assert_eq!(made.location, "/console/parameter-groups/own", "{}", made.text);
    let change = [("act", "modify"), ("parameter", "maxmemory-policy"), ("value", "allkeys-lru")];
    assert_eq!(browser.post("/console/parameter-groups/own", &change).status, 303);
    for page in [
        "/events",
        "/groups/shop/metrics?hours=24",
        "/groups/shop/metrics/live",
        "/parameter-groups",
        "/parameter-groups/own",
        "/parameter-groups/default.redis7",
        "/prices",
        "/reserved-nodes",
        "/security-groups",
        "/service-updates",
        "/snapshots",
        "/subnet-groups",
        "/users",
        "/users/default",
    ] {
        let seen = browser.get(&format!("/console{page}"));
        assert_eq!(seen.status, 200, "{page}: {}", seen.text);
    }
    let wrong = [("act", "modify"), ("parameter", "maxmemory-policy"), ("value", "nonsense")];
    let seen = browser.post("/console/parameter-groups/own", &wrong);
    assert!(seen.status == 400 && seen.text.contains("value=\"nonsense\""), "{}", seen.text);
    for (path, status) in [
        ("/console/snapshots/none", 404),
        ("/console/parameter-groups/none", 404),
        ("/console/users/none", 404),
        ("/console/groups/none", 404),
        ("/console/clusters/none", 404),
        ("/console/groups/shop/nonsense", 404),
        ("/console/nonsense", 404),
        ("/console/caches/%00%ff", 404),
        ("/console/groups/%3Cscript%3E", 404),
    ] {
        let seen = browser.get(path);
        assert_eq!(seen.status, status, "{path}");
        assert!(!seen.text.contains("<script>"), "{path}");
    }
    let asset = site.answer("GET", &asset::style(), "", "");
    assert!(asset.status == 200 && asset.text.contains("--paper"));
}
