"""A stand-in for Azure's command line: who has logged in gets a token of the local Entra, as ``az`` would give it."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from tests.clouds.local import LocalCloud
from tests.clouds.machines import TENANT
from tests.clouds.secrets import CLIENT, REFRESH

GET_ACCESS_TOKEN = """#!{python} -I
import json, ssl, sys, time, urllib.error, urllib.request

trust = ssl.create_default_context(cafile="{authority}")
fields = "grant_type=refresh_token&refresh_token={refresh}&client_id={client}"
fields += "&scope=https://management.azure.com/.default"
try:
    url = "{url}/{tenant}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, fields.encode(), timeout=10, context=trust) as answer:
        found = json.load(answer)
except urllib.error.HTTPError as error:
    words = json.load(error)["error_description"]
    sys.exit(f"ERROR: {{words}}\\nInteractive authentication is needed. Run:\\naz login")
ends = int(time.time()) + found["expires_in"]
local = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(ends))
token = {{"accessToken": found["access_token"], "expiresOn": local, "expires_on": ends, "tenant": "{tenant}"}}
print(json.dumps(token))
"""
"""What ``az account get-access-token`` does; nothing is imported that takes time, for azure-identity waits 3 s."""


def install(folder: Path, cloud: LocalCloud, script: str = "") -> None:
    """Put ``az`` into a folder for the PATH; ``script`` is what it runs instead."""
    text = GET_ACCESS_TOKEN.format(
        python=sys.executable,
        authority=cloud.folder.authority,
        refresh=REFRESH,
        client=CLIENT,
        url=cloud.url,
        tenant=TENANT,
    )
    path = folder / "az"
    path.write_text(f"#!/bin/sh\n{script}\n" if script else text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
