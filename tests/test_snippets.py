"""The lines that a cache's page of the console shows for each language, run as they stand.

Libraries are fetched from their registries, so this runs when it is asked for: `LARDER_SNIPPETS=1`. A language whose tools are
missing is passed over.
"""

import html
import http.cookiejar
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest

from service import PATIENCE_S, clean_environment, wait_until

pytestmark = pytest.mark.skipif(not os.environ.get("LARDER_SNIPPETS"), reason="LARDER_SNIPPETS is not set")

TOKEN = "a-token-for-everybody"


class Console:
    """The pages as a browser without a script gets them."""

    def __init__(self, service):
        self.root = service.info["console"]
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        fields = {"access_key_id": service.info["access_key_id"], "secret_access_key": service.info["secret_access_key"]}
        page = self.get("/sign-in")
        fields.update(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        names = re.findall(r'<input[^>]* name="([^"]+)"', page)
        assert set(fields) <= set(names) | {"form_token"}, names
        self.opener.open(self.root + "/sign-in", urllib.parse.urlencode(fields).encode(), timeout=PATIENCE_S).read()

    def get(self, path):
        return self.opener.open(self.root + path, timeout=PATIENCE_S).read().decode()

    def snippets(self, path):
        """Lines by language."""
        page = self.get(path)
        names = re.findall(r'<label for="snippet-\d+">([^<]+)</label>', page)
        texts = re.findall(r'<div class="choice copied"><pre><code>(.*?)</code></pre>', page, re.DOTALL)
        assert len(names) == len(texts) >= 2
        return {name: html.unescape(text) for name, text in zip(names, texts)}


def environment():
    """Package managers want a home."""
    extra = {name: os.environ[name] for name in ("HOME", "CARGO_HOME", "RUSTUP_HOME", "GOPROXY", "GOFLAGS") if name in os.environ}
    return clean_environment(extra)


# Where Debian puts libraries, for machines that do not reach the registries of Java and Go.
DEBIAN_JARS, DEBIAN_GO = pathlib.Path("/usr/share/java"), pathlib.Path("/usr/share/gocode")


def fetch(folder, *command):
    """Fetches libraries; a registry that cannot be reached is no fault of the lines."""
    try:
        call(folder, *command)
    except AssertionError as failed:
        if re.search(r"no such host|No plugin found|Could not transfer|Unknown host|network is unreachable", str(failed)):
            pytest.skip(f"{command[0]} reaches no registry here")
        raise


def call(folder, *command, **more):
    env = {**environment(), "REDISCLI_AUTH": TOKEN} if (folder / "ca.pem").exists() else environment()
    done = subprocess.run(command, cwd=folder, env={**env, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def node_js(folder, code):
    [package] = re.findall(r"// npm install (\S+)", code)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "index.js").write_text(code)
    call(folder, "npm", "install", "--silent", "--no-audit", "--no-fund", package)
    return call(folder, "node", "index.js")


def java(folder, code):
    [(group, artifact)] = re.findall(r"// ([\w.]+):([\w-]+)", code)
    version = {"jedis": "6.0.0", "elasticache-java-cluster-client": "1.2.3"}[artifact]
    (folder / "pom.xml").write_text(f"""<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId>
        <version>1</version><dependencies><dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>
        <version>{version}</version></dependency></dependencies></project>""")
    (folder / "Example.java").write_text(code)
    own = DEBIAN_JARS / "spymemcached.jar"
    if "net.spy.memcached" in code and own.exists():
        (folder / "jars").mkdir()
        shutil.copy(own, folder / "jars")
    else:
        fetch(folder, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars")
    call(folder, "javac", "-cp", "jars/*", "Example.java")
    options = []
    if (folder / "ca.pem").exists():
        call(folder, "keytool", "-importcert", "-noprompt", "-alias", "larder", "-file", "ca.pem", "-keystore", "trust.p12",
             "-storepass", "changeit")
        options = ["-Djavax.net.ssl.trustStore=trust.p12", "-Djavax.net.ssl.trustStorePassword=changeit"]
    return call(folder, "java", *options, "-cp", "jars/*:.", "Example")


def go(folder, code):
    [package] = re.findall(r"// go get (\S+)", code)
    (folder / "main.go").write_text(code)
    if (DEBIAN_GO / "src" / package).exists():
        return call(folder, "go", "run", "main.go", GO111MODULE="off", GOPATH=str(DEBIAN_GO))
    call(folder, "go", "mod", "init", "example")
    # The last release that the Go of Debian 12 builds; a newer Go takes the newest.
    old = "go1.19" in call(folder, "go", "version")
    fetch(folder, "go", "get", package + ("@v9.5.5" if old and "go-redis" in package else ""))
    return call(folder, "go", "run", ".")


def rust(folder, code):
    dependencies = "\n".join(re.findall(r"// ((?:redis|rustls|memcache) = .*)", code))
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(f'[package]\nname = "example"\nedition = "2024"\n\n[dependencies]\n{dependencies}\n\n[workspace]\n')
    (folder / "src" / "main.rs").write_text(code)
    return call(folder, "cargo", "run", "-q")


def shell(folder, code):
    # Nobody is here to be asked for the token.
    return call(folder, "sh", "-c", code.replace(" --askpass", ""))


def python(folder, code):
    return call(folder, sys.executable, "-c", code)


LANGUAGES = {
    "redis-cli": (["redis-cli"], shell), "Shell": (["nc"], shell), "Python": ([], python), "Node.js": (["node", "npm"], node_js),
    "Java": (["mvn", "javac", "keytool"], java), "Go": (["go"], go), "Rust": (["cargo"], rust),
}


@pytest.fixture(scope="module")
def caches(service):
    """A plain group, one with TLS and a token, and a memcached cluster of two nodes."""
    api = service.client()
    common = dict(ReplicationGroupDescription="d", NumCacheClusters=1, CacheNodeType="cache.t3.micro", Engine="redis")
    api.create_replication_group(ReplicationGroupId="plain", **common)
    api.create_replication_group(ReplicationGroupId="sealed", TransitEncryptionEnabled=True, AuthToken=TOKEN, **common)
    service.create("pages", Engine="memcached", NumCacheNodes=2)
    for group in ("plain", "sealed"):
        ready = lambda: api.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]["Status"] == "available"
        wait_until(f"{group} is available", ready)
    console = Console(service)
    return {"plain": console.snippets("/groups/plain"), "sealed": console.snippets("/groups/sealed"),
            "pages": console.snippets("/clusters/pages")}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cache", ["plain", "sealed", "pages"])
def test_a_snippet_runs_as_it_stands(caches, service, tmp_path, cache, language):
    code = caches[cache].get(language)
    if code is None:
        assert (cache == "pages") == (language == "redis-cli") or language == "Shell"
        return
    tools, runner = LANGUAGES[language]
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        pytest.skip(f"no {missing[0]} here")
    if cache == "sealed":
        shutil.copy(service.folder / "tls" / "ca.pem", tmp_path)
        code = code.replace("TOKEN", TOKEN)
    assert "ann" in runner(pathlib.Path(tmp_path), code)
