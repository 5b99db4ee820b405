"""Links that let a browser give orders on a cluster's dashboard."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trio_dask.comm import own_keys
from trio_dask.dashboard import login_link, login_ticket

if TYPE_CHECKING:
    from trio_dask.deploy.handle import ClusterHandle


def control_link(handle: ClusterHandle) -> str:
    """Good once, within five minutes; empty if there is no dashboard."""
    if not handle.dashboard_link:
        return ""
    plan = handle.plan
    keys = own_keys(handle.token, plan.config, origin="the cluster's token", security=plan.security)
    ticket = login_ticket(keys, datetime.now(UTC).timestamp(), control=True)
    return login_link(handle.dashboard_link, ticket)
