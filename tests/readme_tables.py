"""The tables of the README that say what is compatible today, made from the running program.

`python tests/readme_tables.py` writes them into README.md; test_readme.py fails when they are not what this makes.
"""

import collections
import re
import tempfile

import botocore.exceptions
import botocore.session
import redis

from service import ROOT, Node, Service

README = ROOT / "README.md"
GROUP_NAMES = {"generic": "keys", "sorted-set": "sorted sets", "string": "strings", "hash": "hashes", "list": "lists",
               "set": "sets", "bitmap": "bitmaps", "hyperloglog": "HyperLogLogs", "geo": "geo", "stream": "streams", "transactions": "transactions",
               "connection": "connection", "server": "server"}


def command_table(port):
    """Every command that the node lists, by the group of its documentation."""
    client = redis.Redis(port=port, protocol=3, decode_responses=True)
    names = client.execute_command("COMMAND LIST")
    docs = client.execute_command("COMMAND DOCS")
    groups = collections.defaultdict(list)
    for name in names:
        if "|" not in name:
            groups[docs[name]["group"]].append(name.upper())
    rows = ["| group | commands |", "|---|---|"]
    for group in sorted(groups, key=lambda group: GROUP_NAMES.get(group, group)):
        rows.append(f"| {GROUP_NAMES.get(group, group)} | {', '.join(sorted(groups[group]))} |")
    count = sum(len(commands) for commands in groups.values())
    return "\n".join([f"{count} commands:", "", *rows])


def operation_table(service):
    """Every operation of the API's model that the service does not answer with InvalidAction."""
    client = service.client()
    model = botocore.session.get_session().get_service_model("elasticache")
    available = [name for name in model.operation_names if is_available(client, name)]
    lines = "\n".join(f"- {name}" for name in sorted(available))
    return f"{len(available)} of the {len(model.operation_names)} operations that boto3 knows in API version {model.api_version}:\n\n{lines}"


def is_available(client, operation):
    method = client.meta.method_to_api_mapping
    name = next(python for python, api in method.items() if api == operation)
    try:
        getattr(client, name)()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] != "InvalidAction"
    return True


def replaced(text, mark, content):
    """`text` with what stands between the marks exchanged for `content`."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    assert pattern.search(text), f"README.md has no marks for {mark}"
    return pattern.sub(lambda found: found.group(1) + content + "\n" + found.group(2), text)


def with_tables(text, port, service):
    text = replaced(text, "redis commands", command_table(port))
    return replaced(text, "api operations", operation_table(service))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        node, service = Node(), Service(f"{folder}/data")
        try:
            README.write_text(with_tables(README.read_text(), node.port, service.start()))
        finally:
            node.stop()
            service.clean_up()
