"""What the README promises is what the program does."""

import re
import shlex
import shutil
import subprocess

import pytest

from readme_tables import README, with_tables
from service import BINARY, ROOT, clean_environment, run

PAGES = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


def test_the_tables_of_compatibility_are_true(service, node):
    text = README.read_text()
    assert text == with_tables(text, node.port, service), "run: .venv/bin/python tests/readme_tables.py"


def test_the_commands_of_the_command_line_are_all_named():
    text = README.read_text()
    help_text = run([str(BINARY), "--help"]).stdout
    commands = re.findall(r"^  ([a-z]+) +[A-Z]", help_text.split("Commands:")[1].split("Options:")[0], re.MULTILINE)
    assert len(commands) >= 10
    for command in commands:
        assert f"larder {command}" in text, command


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text()):
            if "://" not in target:
                assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def help_of(*words):
    # As wide as it gets: examples are not wrapped.
    return run([str(BINARY), *words, "--help"], env=clean_environment({"COLUMNS": "200"})).stdout


def examples():
    """Every line that begins with `larder` in a block of the documents, or among the examples of a help text."""
    for page in PAGES:
        for line in re.findall(r"^ {4,}(larder .+)$", (ROOT / page).read_text(), re.MULTILINE):
            yield page, line
    for command in re.findall(r"^  ([a-z]+) +[A-Z]", help_of().split("Commands:")[1].split("Options:")[0], re.MULTILINE):
        if command != "memcached":  # its help is that of memcached
            for line in re.findall(r"^  (larder .+)$", help_of(command), re.MULTILINE):
                yield f"larder {command} --help", line


def test_every_command_that_is_shown_is_understood():
    seen = 0
    for where, line in examples():
        line = re.split(r"  +|[|&#;]", line)[0]  # what it does stands behind it, or where its output goes
        if "..." in line or "NAME" in line or line.startswith("larder memcached"):
            continue
        words = shlex.split(line)[1:]
        # The words of a node and of a command to a cache are not those of this program.
        cut = {"node": 1, "connect": 2}.get(words[0], len(words))
        done = run([str(BINARY), *words[:cut], "--help"], check=False)
        assert done.returncode == 0, f"{where}: {line}\n{done.stderr}"
        seen += 1
    assert seen > 30


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="needs redis-cli")
def test_the_first_five_minutes_run_as_they_stand(own_service):
    text = README.read_text().split("## A first cache in five minutes")[1].split("\n## ")[0]
    steps = re.split(r"^\d\. ", text, flags=re.MULTILINE)[1:]
    lines = ["\n".join(line[7:] for line in step.splitlines() if line.startswith("       ")) for step in steps]
    # The first starts the service and the second puts it into the environment, which is done here.
    assert "up" in lines[0] and "larder env" in lines[1]
    for script in lines[2:4]:
        done = subprocess.run(["sh", "-e", "-c", script], env=own_service.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    assert "STAT pid" in done.stdout and len(own_service.node_pids()) == 4
