"""What the README promises is what the program does."""

import re

from readme_tables import README, with_tables
from service import ROOT, run, BINARY


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
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text()):
            if "://" not in target:
                assert (ROOT / target).exists(), f"{page} links to {target}"
