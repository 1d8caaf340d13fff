"""The console in a headless Chromium, against a real service with real nodes."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import redis

import browser as browsing
from browser import DESK, PHONE, Browser
from service import PROGRAM_PATIENCE_S, Service, clean_environment, endpoint_of, wait_until
from terraform import prepare
from test_service_updates import releases  # noqa: F401  (a fixture)
from test_terraform import HEAD

pytestmark = pytest.mark.skipif(bool(browsing.missing()), reason=f"needs {browsing.missing()}")


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture()
def page(browser, service):
    """The browser, signed in to the shared service as the account itself."""
    browser.resize(DESK)
    browser.driver.delete_all_cookies()
    browser.sign_in(service)
    browser.complaints()
    yield browser
    assert browser.complaints() == []


def snippet(page, name):
    """The lines that are shown for a language, run."""
    page.driver.find_element("xpath", f"//label[normalize-space()='{name}']").click()
    [shown] = [text for text in page.driver.find_elements("css selector", ".choice") if text.is_displayed()]
    code = shown.find_element("tag name", "code").text
    command = [sys.executable, "-c", code] if name == "Python" else ["sh", "-c", code]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=PROGRAM_PATIENCE_S)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def look(page, name):
    """Nobody scrolls sideways, neither at a desk nor on a phone."""
    page.shot(f"{name}-desk")
    assert not page.is_too_wide()
    page.resize(PHONE)
    page.shot(f"{name}-phone")
    assert not page.is_too_wide(), f"{name} is wider than a phone"
    page.resize(DESK)


def test_nobody_gets_in_without_a_key(browser, service):
    browser.driver.delete_all_cookies()
    browser.go(service.info["console"] + "/events")
    look(browser, "sign-in")
    browser.type("Access key id", service.info["access_key_id"])
    browser.type("Secret access key", "wrong")
    browser.click("Sign in")
    assert "no such access key" in browser.refusal()
    browser.type("Secret access key", service.info["secret_access_key"])
    browser.click("Sign in")
    assert browser.heading() == "Events" and browser.path == "/console/events", "it leads to what was asked for"
    assert browser.driver.get_cookie("larder_session")["httpOnly"]
    browser.click("Sign out")
    browser.go(service.info["console"] + "/caches")
    assert browser.path.startswith("/console/sign-in")


def test_a_beginner_creates_a_redis_cache(page, service):
    look(page, "caches-empty")
    groups = service.client().describe_cache_parameter_groups()["CacheParameterGroups"]
    has_group = any(group["CacheParameterGroupName"] == "larder-cache-redis7" for group in groups)
    page.click("Create a cache")
    look(page, "create-engine")
    page.click("Redis OSS")
    page.type("Name", "sessions")
    look(page, "create-settings")
    page.click("Next")
    look(page, "create-network")
    page.click("Next")
    look(page, "create-upkeep")
    page.click("Review")
    look(page, "create-review")
    command, terraform = page.code("The same as a command"), page.code("The same in Terraform")
    assert "--replication-group-id sessions" in command and "--cache-node-type cache.t3.micro" in command
    assert "--num-cache-clusters 1" in command and "snapshot" not in command
    assert 'resource "aws_elasticache_replication_group" "sessions"' in terraform
    assert "--cache-parameter-group-name larder-cache-redis7" in command
    if not has_group:  # no other test has made a cache before
        assert "allkeys-lhd" in page.text()
        assert "parameter_group_name = aws_elasticache_parameter_group.larder-cache-redis7.name" in " ".join(terraform.split())
    page.click("Create")
    assert page.heading() == "sessions"
    look(page, "cache-creating")
    page.waits_for("available")
    page.waits_for("Primary endpoint")
    page.driver.refresh()
    look(page, "cache")
    [group] = service.client().describe_replication_groups(ReplicationGroupId="sessions")["ReplicationGroups"]
    assert group["Status"] == "available" and group["SnapshotRetentionLimit"] == 0
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    assert f"{endpoint['Address']}:{endpoint['Port']}" in page.text()
    cache = redis.Redis(endpoint["Address"], endpoint["Port"])
    assert cache.set("user:1", "ann")
    assert cache.info("memory")["maxmemory_policy"] == "allkeys-lhd"
    assert snippet(page, "Python") == "ann\n"
    if shutil.which("redis-cli"):
        assert snippet(page, "redis-cli") == "OK\nann\n"
    prompt(page)
    page.click("Slow log")
    look(page, "slow-log")
    page.click("Overview")
    page.click("Change settings")
    look(page, "change")
    page.type("Description", "sessions of users")
    page.type("Days that automatic snapshots are kept", "2")
    page.click("Change")
    assert "sessions is being changed." in page.text() and "sessions of users" in page.text()
    assert "kept for 2 days" in page.text()
    page.click("Caches")
    assert [row[0] for row in page.rows() if row[0] == "sessions"]
    look(page, "caches")


def prompt(page):
    """Commands from the page of the cache that is open."""
    page.click("Prompt")
    for command, expected in [("get user:1", '"ann"'), ("set 'a b' 1 ex 100", "OK"), ("exists 'a b'", "(integer) 1")]:
        page.type("Command", command)
        page.click("Run")
        assert page.driver.find_element("css selector", ".outcome").text == expected
    page.type("Command", "info server")
    page.click("Run")
    assert "tcp_port:" in page.text()
    look(page, "prompt")
    for command in ["flushall", "config get maxmemory", "CONFIG SET maxmemory 1", "shutdown", "debug sleep 9", "blpop q 0", "keys *", "nosuch"]:
        page.type("Command", command)
        page.click("Run")
        assert page.refusal(), command
    page.type("Command", "get user:1")
    page.click("Run")
    assert '"ann"' in page.text(), "nothing was flushed"


def test_the_command_and_the_block_of_the_review_make_the_same_cache(page, service):
    page.go(service.info["console"] + "/create?engine=redis")
    page.type("Name", "told")
    page.type("Description", "it's \"told\" ${here}")
    page.click("Next")
    page.open("Availability zones")
    page.choose("Primary", "us-east-1b")
    page.click("Next")
    page.tick("Take a snapshot every day")
    page.type("Window (UTC)", "03:00-04:00")
    page.driver.find_element("name", "tags").send_keys("team=web\nowner=ann b")
    page.click("Review")
    command = page.code("The same as a command")
    done = subprocess.run(["sh", "-c", command], env=service.environment(), capture_output=True, text=True, timeout=PROGRAM_PATIENCE_S)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    # The last of the answers; the first ones are those of the parameter group, if it was not there yet.
    made = json.loads("[" + done.stdout.replace("}\n{", "},{") + "]")[-1]["ReplicationGroup"]
    assert made["Description"] == "it's \"told\" ${here}" and made["SnapshotWindow"] == "03:00-04:00"
    api = service.client()
    tags = api.list_tags_for_resource(ResourceName=made["ARN"])["TagList"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web", "owner": "ann b"}
    zone = api.describe_cache_clusters(CacheClusterId="told-001")["CacheClusters"][0]["PreferredAvailabilityZone"]
    assert zone == "us-east-1b"
    # And the name is taken now.
    page.click("Create")
    assert "already exists" in page.refusal() and page.heading() == "Review"


def test_terraform_takes_the_block_of_the_review(page, service, tmp_path):
    page.go(service.info["console"] + "/create?engine=valkey")
    page.type("Name", "planned")
    page.type("Description", "it's \"planned\" ${here}")
    page.click("Next")
    page.choose("Subnet group", "+")
    page.type("Name of the new subnet group", "planned-net")
    for box in page.driver.find_elements("name", "new_subnet")[:2]:
        box.click()
    page.click("Next")
    page.tick("Take a snapshot every day")
    page.type("Days that it is kept", "3")
    page.driver.find_element("name", "tags").send_keys("team=web\na key=a value+1")
    page.click("Review")
    look(page, "create-review-long")
    block = page.code("The same in Terraform")
    # The cache, its subnet group, and the parameter group, if it was not there yet.
    count = block.count('resource "')
    assert count >= 2
    terraform = prepare(tmp_path / "tf", service, HEAD + block)
    assert f"Apply complete! Resources: {count} added" in terraform("apply", "-auto-approve", "-no-color").stdout
    try:
        [group] = service.client().describe_replication_groups(ReplicationGroupId="planned")["ReplicationGroups"]
        assert group["SnapshotRetentionLimit"] == 3 and group["Description"] == "it's \"planned\" ${here}"
        again = terraform("plan", "-detailed-exitcode", "-no-color", check=False)
        assert again.returncode == 0, f"the second plan is not empty:\n{again.stdout}"
    finally:
        terraform("destroy", "-auto-approve", "-no-color")


def test_a_memcached_cache_is_created_changed_and_deleted(page, service):
    page.click("Create a cache")
    page.click("Memcached")
    page.type("Name", "pages")
    page.type("Number of nodes", "2")
    page.click("Skip to the review")
    assert "--num-cache-nodes 2" in page.code("The same as a command")
    page.click("Create")
    page.waits_for("available")
    page.waits_for("Configuration endpoint")
    page.driver.refresh()
    look(page, "memcached")
    assert len(page.rows()) == 2
    assert snippet(page, "Python") == "b'ann'\n"
    page.click("Prompt")
    page.type("Command", "set user:1 0 60 3\nann")
    page.click("Run")
    assert page.driver.find_element("css selector", ".outcome").text == "STORED"
    page.type("Command", "get user:1")
    page.click("Run")
    assert page.driver.find_element("css selector", ".outcome").text == "VALUE user:1 0 3\nann\nEND"
    page.type("Command", "flush_all")
    page.click("Run")
    assert "not for this prompt" in page.refusal()
    page.click("Overview")
    page.click("Change the number of nodes")
    page.type("Nodes", "3")
    look(page, "act-nodes")
    page.click("Change")
    wait_until("there are three nodes", lambda: len(page.rows()) == 3)
    page.waits_for("available")
    page.click("Delete")
    look(page, "act-delete")
    page.type("Type pages to delete it", "page")
    page.click("Delete")
    assert "type its name" in page.refusal()
    page.type("Type pages to delete it", "pages")
    page.click("Delete")
    assert page.path == "/console/caches"
    wait_until("the cache is gone from the list", lambda: all(row[0] != "pages" for row in page.rows()))


def test_a_form_that_is_refused_keeps_what_was_typed(page, service):
    page.go(service.info["console"] + "/create?engine=redis")
    page.type("Name", "1shop")
    page.type("Description", "a shop <b>")
    page.type("Number of replicas", "9")
    page.choose("Node type", "cache.t3.small")
    page.click("Next")
    assert page.heading() == "A new Redis OSS cache" and page.refusal()
    look(page, "create-refused")
    assert page.field("Name").get_attribute("value") == "1shop"
    assert page.field("Description").get_attribute("value") == "a shop <b>"
    assert page.field("Node type").get_attribute("value") == "cache.t3.small"
    page.type("Name", "shop")
    page.click("Next")
    assert page.heading() == "A new Redis OSS cache" and page.refusal(), "too many replicas"
    page.type("Number of replicas", "0")
    page.click("Next")
    assert page.heading() == "Network and access"


def test_a_key_that_may_only_look_cannot_change(browser, service):
    iam = service.api("iam")
    iam.create_user(UserName="looker")
    iam.attach_user_policy(UserName="looker", PolicyArn="arn:aws:iam::aws:policy/AmazonElastiCacheReadOnlyAccess")
    key = iam.create_access_key(UserName="looker")["AccessKey"]
    browser.driver.delete_all_cookies()
    browser.go(service.info["console"])
    browser.type("Access key id", key["AccessKeyId"])
    browser.type("Secret access key", key["SecretAccessKey"])
    browser.click("Sign in")
    assert browser.heading() == "Caches" and "user/looker" in browser.text()
    browser.go(service.info["console"] + "/create?engine=memcached")
    browser.type("Name", "mine")
    browser.click("Skip to the review")
    assert "not authorized to perform: elasticache:CreateCacheCluster" in browser.refusal()
    look(browser, "refused")
    iam.delete_access_key(UserName="looker", AccessKeyId=key["AccessKeyId"])
    browser.go(service.info["console"] + "/caches")
    assert browser.path.startswith("/console/sign-in"), "the session ended with its key"


def test_a_failover_is_watched_live(browser, tmp_path):
    service = Service(tmp_path / "data")
    try:
        service.start()
        browser.driver.delete_all_cookies()
        browser.resize(DESK)
        browser.sign_in(service)
        browser.go(service.info["console"] + "/create?engine=redis")
        browser.type("Name", "shop")
        browser.type("Number of replicas", "1")
        browser.tick("Automatic failover")
        browser.tick("Multi-AZ")
        browser.click("Skip to the review")
        browser.click("Create")
        roles = lambda: {row[0]: row[2] for row in browser.rows()}
        wait_until("both have their roles", lambda: roles() == {"shop-001": "primary", "shop-002": "replica"})
        browser.waits_for("2 of 2" if "of 2 nodes ready" in browser.text() else "available")
        wait_until("all is available", lambda: [row[1] for row in browser.rows()] == ["available", "available"])
        browser.driver.refresh()
        look(browser, "group")
        browser.click("Fail over")
        look(browser, "act-failover")
        assert "becomes a replica" in browser.text()
        browser.click("Fail over")
        assert "The failover has begun" in browser.text()
        # From here on nobody touches the page.
        mark = browser.driver.find_element("tag name", "h1")
        wait_until("the roles are exchanged", lambda: roles() == {"shop-001": "replica", "shop-002": "primary"})
        browser.waits_for("Failover")
        os.kill(service.node_pids()["shop-002-0001"], signal.SIGKILL)
        wait_until("the other one is the primary again", lambda: roles().get("shop-001") == "primary")
        assert mark.is_displayed(), "it is the same page still"
        [group] = service.client().describe_replication_groups(ReplicationGroupId="shop")["ReplicationGroups"]
        shown = {m["CacheClusterId"]: m["CurrentRole"] for m in group["NodeGroups"][0]["NodeGroupMembers"]}
        assert shown["shop-001"] == "primary"
    finally:
        service.clean_up()


def test_a_service_update_is_applied(browser, tmp_path, releases):  # noqa: F811
    earlier, version = releases
    service = Service(tmp_path / "data", binary=earlier)
    try:
        service.start()
        service.create("books")
        service.kill()
        service.binary = browsing.BINARY
        service.start()
        browser.driver.delete_all_cookies()
        browser.resize(DESK)
        browser.sign_in(service)
        browser.click("Service updates")
        assert browser.rows()[0][:3] == ["books", f"larder-{version}", "not-applied"]
        look(browser, "service-updates")
        pids = service.node_pids()
        browser.click("Apply")
        assert f"larder-{version} is being applied to books." in browser.text()
        status = lambda: service.client().describe_update_actions()["UpdateActions"][0]["UpdateActionStatus"]
        wait_until("the update is complete", lambda: status() == "complete")
        assert service.node_pids() != pids
        browser.click("Service updates")
        assert browser.rows()[0][:3] == ["books", f"larder-{version}", "complete"]
    finally:
        service.clean_up()


@pytest.mark.slow
def test_graphs_show_what_the_cache_does(page, service):
    cache = service.create("drawn")
    client = redis.Redis(*endpoint_of(cache))
    client.set("k", "v")
    page.go(service.info["console"] + "/clusters/drawn/metrics")
    wait_graph = "Hits and misses"

    def drawn():
        client.get("k")
        client.get("nothing")
        return wait_graph in page.text()

    # Nodes are asked at the turn of each minute, and two answers make a point.
    wait_until("a graph is drawn, on a page that nobody touches", drawn, 200, 0.5)
    told = [graph.get_attribute("aria-label") for graph in page.driver.find_elements("css selector", "svg[role=img]")]
    assert any(text.startswith("Hits and misses; latest: hits ") for text in told), told
    assert any(text.startswith("Memory used; latest: 0001 ") for text in told), told
    look(page, "metrics")
    page.click("1 day")
    assert wait_graph in page.text()
    look(page, "metrics-day")


def test_a_token_and_logs_are_chosen_when_a_cache_is_made(page, service):
    page.go(service.info["console"] + "/create?engine=redis")
    page.type("Name", "sealed")
    page.click("Next")
    page.type("AUTH token", "too-short")
    page.click("Next")
    assert page.heading() == "Network and access" and page.refusal(), "the token is short, and there is no TLS"
    look(page, "create-network-refused")
    page.type("AUTH token", "a-token-that-is-long-enough")
    page.tick("Encryption in transit")
    page.click("Next")
    page.open("Log delivery")
    page.choose("Slow log goes to", "cloudwatch-logs")
    page.type("Log group or stream of the slow log", "/caches/slow")
    page.choose("Form of the slow log", "text")
    look(page, "create-upkeep-logs")
    page.click("Review")
    assert "a-token-that" not in page.text(), "the token is shown to nobody"
    command, terraform = page.code("The same as a command"), page.code("The same in Terraform")
    assert '--auth-token "$AUTH_TOKEN"' in command and "LogGroup=/caches/slow" in command
    assert "auth_token" in terraform and 'destination_type = "cloudwatch-logs"' in terraform
    look(page, "create-review-sealed")
    env = {**service.environment(), "AUTH_TOKEN": "a-token-that-is-long-enough"}
    told = subprocess.run(["sh", "-c", command.replace(" sealed", " told-sealed")], env=env, capture_output=True, text=True, timeout=PROGRAM_PATIENCE_S)
    assert told.returncode == 0, f"{command}\n{told.stderr}"
    page.click("Create")
    page.waits_for("Primary endpoint")
    api = service.client()
    for name in ("sealed", "told-sealed"):
        [group] = api.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
        assert group["AuthTokenEnabled"] and group["TransitEncryptionEnabled"]
        [log] = group["LogDeliveryConfigurations"]
        assert log["LogType"] == "slow-log" and log["LogFormat"] == "text"
        assert log["DestinationDetails"]["CloudWatchLogsDetails"]["LogGroup"] == "/caches/slow"
    page.driver.refresh()
    assert ":TOKEN@" in page.driver.page_source
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"] if group["ReplicationGroupId"] == "sealed" else \
        api.describe_replication_groups(ReplicationGroupId="sealed")["ReplicationGroups"][0]["NodeGroups"][0]["PrimaryEndpoint"]
    client = redis.Redis(endpoint["Address"], endpoint["Port"], password="a-token-that-is-long-enough", ssl=True,
                         ssl_ca_certs=str(service.folder / "tls" / "ca.pem"))
    assert client.ping()


def test_advice_is_watched_live(page, service):
    cache = service.create("advice")
    client = redis.Redis(*endpoint_of(cache))
    page.go(service.info["console"] + "/clusters/advice")
    page.click("Advice")
    assert "Nothing was watched yet" in page.text()
    look(page, "advice-empty")
    page.choose("Watch the traffic for", "30")
    page.click("Watch")
    assert "The traffic is watched for 30 seconds" in page.text()

    def use():
        for n in range(200):
            key = f"user:{n * n % 97}"
            if client.get(key) is None:
                client.set(key, "v" * 200, ex=600)
        return "Hit ratio by memory for items" in page.text()

    wait_until("the curve is drawn, on a page that nobody touches", use, 60, 0.5)
    for question in ["Is it safe?", "Is it effective?", "Which keys need care?", "Is the data well structured?", "Which pattern fits?"]:
        assert question in page.text()
    fits = ["user", "cache-aside with a time to live: as it is"]
    # The page may be refreshing itself just now.
    wait_until("the prefix is listed with what fits it", lambda: fits in [[row[0], row[-1]] for row in page.rows() if row])
    look(page, "advice")


def test_it_can_be_used_by_keyboard_alone(page, service):
    """From the first page to a cache that is being made: Tab, letters, space and Return."""
    keys = browsing.Keys
    page.go(service.info["console"] + "/create?engine=memcached")
    here = lambda: page.driver.switch_to.active_element
    assert here().get_attribute("name") == "name", "the first field is ready"
    here().send_keys("typed")

    def to(wanted):
        for _ in range(80):
            if wanted(here()):
                return here()
            here().send_keys(keys.TAB)
        raise AssertionError("Tab does not lead there")

    to(lambda element: element.tag_name == "button" and element.text == "Skip to the review").send_keys(keys.RETURN)
    wait_until("the review is there", lambda: page.heading() == "Review")
    page.driver.find_element("tag name", "body").click()
    to(lambda element: element.tag_name == "button" and element.text == "Create").send_keys(keys.RETURN)
    wait_until("the page of the cache is there", lambda: page.heading() == "typed")
    # What has the focus can be seen.
    to(lambda element: element.text == "Metrics")
    outline = page.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_it_is_dark_for_who_likes_it_dark(service):
    dark = Browser(dark=True)
    try:
        dark.sign_in(service)
        paper = "return getComputedStyle(document.body).backgroundColor"
        shade = [int(part) for part in dark.driver.execute_script(paper).strip("rgb()").split(",")]
        assert max(shade) < 64, shade
        look(dark, "dark-caches")
        dark.go(service.info["console"] + "/create?engine=redis")
        look(dark, "dark-create")
        dark.go(service.info["console"] + "/prices")
        look(dark, "dark-prices")
        if service.client().describe_cache_clusters()["CacheClusters"]:
            dark.go(service.info["console"] + "/caches")
            dark.driver.find_element("css selector", "tbody a").click()
            look(dark, "dark-cache")
    finally:
        dark.close()


def test_every_section_can_be_used(page, service):
    for section in ["Snapshots", "Parameter groups", "Subnet groups", "Security groups", "Users", "Events", "Service updates", "Reserved nodes", "Prices"]:
        page.click(section)
        assert page.heading() == section
        look(page, f"section-{section.lower().replace(' ', '-')}")
    page.click("Parameter groups")
    page.type("Name", "tuned")
    page.choose("Family", "redis7")
    page.type("Description", "for tests")
    page.click("Create")
    page.choose("Parameter", "maxmemory-policy")
    page.type("Value", "allkeys-lru")
    page.click("Change")
    assert page.rows()[0][:2] == ["maxmemory-policy", "allkeys-lru"]
    look(page, "parameter-group")
    page.choose("Parameter", "maxmemory-policy")
    page.type("Value", "nonsense")
    page.click("Change")
    assert "maxmemory-policy" in page.refusal()

    page.click("Security groups")
    page.type("Name", "web")
    page.type("Description", "web servers")
    page.click("Create")
    assert "Nobody may connect." in page.text()
    page.type("Range of addresses", "127.0.0.0/8")
    page.type("First port", "6379")
    page.type("Last port", "6379")
    page.click("Add the rule")
    assert page.rows()[0][:2] == ["127.0.0.0/8", "tcp 6379"]
    look(page, "security-group")

    page.click("Users")
    page.type("Id", "reader")
    page.type("Name to log in with", "reader")
    page.type("Access string", "on ~app:* +@read")
    page.type("Password", "a-long-enough-password")
    page.click("Create the user")
    assert "reader is there." in page.text() and "a-long-enough-password" not in page.driver.page_source
    look(page, "users")

    page.click("Reserved nodes")
    page.click("Buy")
    assert "The nodes are reserved." in page.text()
    assert len(service.client().describe_reserved_cache_nodes()["ReservedCacheNodes"]) == 1


def test_a_snapshot_is_taken_and_becomes_a_new_cache(page, service):
    cache = service.create("source")
    redis.Redis(*endpoint_of(cache)).set("k", "v")
    page.go(service.info["console"] + "/clusters/source")
    page.click("Back up")
    page.type("Name of the snapshot", "kept")
    page.click("Back up")
    page.waits_for("A snapshot of source is being taken.")
    described = lambda: service.client().describe_snapshots(SnapshotName="kept")["Snapshots"][0]["SnapshotStatus"]
    wait_until("the snapshot is there", lambda: described() == "available")
    page.click("Snapshots")
    page.click("kept")
    look(page, "snapshot")
    page.click("Make a new cache of it")
    page.type("Name", "again")
    page.click("Skip to the review")
    assert "--snapshot-name kept" in page.code("The same as a command")
    page.click("Create")
    page.waits_for("Primary endpoint")
    [group] = service.client().describe_replication_groups(ReplicationGroupId="again")["ReplicationGroups"]
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    assert redis.Redis(endpoint["Address"], endpoint["Port"]).get("k") == b"v"
