"""Terraform with its AWS provider against a service, in a folder of its own."""

import os

import pytest

from service import clean_environment, run, which


def prepare(folder, service, main):
    """Writes the configuration into a new folder, and prepares that."""
    folder.mkdir()
    (folder / "main.tf").write_text(main)
    return prepare_folder(folder, clean_environment({
        "AWS_ACCESS_KEY_ID": service.info["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": service.info["secret_access_key"],
        "TF_VAR_endpoint": service.endpoint,
        "TF_VAR_subnet": service.info["default_subnet_id"],
    }))


def prepare_folder(folder, environment):
    """Takes the provider for the configuration in a folder, and answers a function that runs terraform there.

    TERRAFORM_PLUGIN_DIR may name a folder that holds the provider, where there is no registry.
    """
    if not which("terraform"):
        pytest.skip("terraform is not installed")
    environment = {**environment, "TF_IN_AUTOMATION": "1"}
    if not os.path.exists(environment.get("TF_CLI_CONFIG_FILE", "")):
        environment.pop("TF_CLI_CONFIG_FILE", None)

    def terraform(*arguments, check=True):
        return run(["terraform", *arguments], check=check, cwd=folder, env=environment)

    plugins = os.environ.get("TERRAFORM_PLUGIN_DIR")
    ready = terraform("init", "-input=false", "-no-color", *([f"-plugin-dir={plugins}"] if plugins else []), check=False)
    if ready.returncode != 0:
        pytest.skip(f"terraform cannot get its AWS provider: {ready.stderr.strip().splitlines()[-1:]}")
    return terraform
