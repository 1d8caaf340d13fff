"""Fixtures: one service and one lone node for the whole run, fresh ones where a test breaks things."""

import pytest

from service import BINARY, Node, Service


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: cargo build --release (or set LARDER_BIN)", returncode=3)


def pytest_collection_modifyitems(items):
    """The long ones first, so that none is left over when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A service that tests share; each makes resources under names of its own and must not stop it."""
    service = Service(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield service.start()
    finally:
        service.clean_up()


@pytest.fixture
def own_service(tmp_path):
    """A service for one test, which may do with it what it likes."""
    service = Service(tmp_path / "data")
    try:
        yield service.start()
    finally:
        service.clean_up()


@pytest.fixture(scope="session")
def node():
    """A node without a service."""
    node = Node()
    yield node
    node.stop()
