"""What there is in dask.distributed, and what is here instead: names, methods, options."""

from __future__ import annotations

from typing import Final

_DEPLOY: Final = "from trio_dask.deploy"
#: What is here under another name, or in another way.
ELSEWHERE: Final = {
    "SSHCluster": _DEPLOY,
    "SLURMCluster": _DEPLOY,
    "PBSCluster": _DEPLOY,
    "SGECluster": _DEPLOY,
    "LSFCluster": _DEPLOY,
    "TimeoutError": "it is Python's own",
    "__version__": "trio_dask.__version__, which counts otherwise",
    "default_client": "Client.current()",
    "Adaptive": "cluster.adapt(…)",
    "Actor": "submit(…, actor=True)",
    "ActorFuture": "methods of actors give futures",
    "NannyPlugin": "WorkerPlugin: nannies run no code of users",
    "UploadFile": "client.upload_file(…)",
    "Environ": "a WorkerPlugin, as in the how-to on plugins",
    "PipInstall": "a WorkerPlugin that calls pip",
    "Worker": "`trio-dask worker`, `trio-dask spec`, LocalCluster, AsyncLocalCluster",
    "Nanny": "`trio-dask worker`, `trio-dask spec`, LocalCluster, AsyncLocalCluster",
    "Scheduler": "`trio-dask scheduler`, `trio-dask spec`, LocalCluster, AsyncLocalCluster",
}
#: Methods of clients that there are in Dask: which of them are here is looked up there.
CLIENT_METHODS: Final = frozenset(
    """
    submit map gather scatter compute persist get cancel retry get_executor run run_on_scheduler
    who_has has_what nthreads ncores processing nbytes rebalance replicate retire_workers
    upload_file call_stack profile get_versions get_worker_logs get_scheduler_logs get_metadata
    set_metadata publish_dataset get_dataset list_datasets unpublish_dataset register_plugin
    unregister_worker_plugin unregister_scheduler_plugin register_worker_callbacks log_event
    get_events subscribe_topic unsubscribe_topic get_task_stream forward_logging
    unforward_logging dump_cluster_state story benchmark_hardware restart restart_workers
    wait_for_workers shutdown close scheduler_info write_scheduler_file as_current
    normalize_collection futures_of recreate_error_locally recreate_task_locally
    """.split()  # noqa: SIM905 - as many are easier to read so
)


#: Options of them that are not here, and what is instead.
OPTIONS: Final[dict[str, dict[str, str]]] = {
    "Client": dict.fromkeys(
        (
            "connection_limit",
            "deserializers",
            "direct_to_workers",
            "extensions",
            "heartbeat_interval",
            "serializers",
        ),
        "nothing of that is needed",
    ),
    "submit": {"fifo_timeout": "it would go to the function"},
    "map": dict.fromkeys(("batch_size", "fifo_timeout"), "it would go to the function"),
    "gather": {"direct": "it always is, if that can be"},
    "scatter": {"direct": "it always is"},
    "compute": {"fifo_timeout": "", "actors": "submit(…, actor=True)"},
    "persist": {"fifo_timeout": "", "actors": "submit(…, actor=True)"},
    "get": {"fifo_timeout": "", "actors": "submit(…, actor=True)"},
    "cancel": {"force": "what others want goes on for them", "msg": "reason="},
    "run": dict.fromkeys(("nanny", "wait"), "it would go to the function"),
    "close": {"timeout": "it is bounded"},
    "retire_workers": dict.fromkeys(("key", "attribute", "target"), ""),
    "get_worker_logs": {"nanny": "it is in the worker"},
    "profile": dict.fromkeys(("plot", "filename", "server", "scheduler"), "the dashboard has it"),
    "replicate": {"branching_factor": "receivers fetch from those who hold it"},
    "get_task_stream": dict.fromkeys(
        ("plot", "filename", "bokeh_resources"), "performance_report has the picture"
    ),
    "LocalCluster": dict.fromkeys(
        (
            "blocked_handlers",
            "interface",
            "protocol",
            "scheduler_kwargs",
            "worker_class",
            "worker_dashboard_address",
        ),
        "there is no such thing",
    ),
}

#: Attributes of Dask's clients that are none here, and what is instead.
CLIENT_INSIDES: Final[dict[str, str]] = {
    "scheduler": "client.scheduler_address, client.scheduler_info()",
    "sync": "a coroutine that uses a client takes AsyncClient",
    "loop": "",
    "status": "",
    "amm": "copies that are too many are dropped in any case",
}
#: The same of Dask's clusters; `workers` is here, and holds something else.
CLUSTER_INSIDES: Final[dict[str, str]] = {
    "scheduler": "it is another process: client.scheduler_info()",
    "scheduler_info": "client.scheduler_info()",
    "workers": "addresses by name, no objects",
    "worker_spec": "",
    "loop": "",
    "sync": "",
    "observed": "cluster.workers",
    "requested": "",
    "plan": "",
    "scale_up": "cluster.scale(…)",
    "scale_down": "cluster.scale(…), client.retire_workers(…)",
    "from_name": "",
    "logs": "cluster.get_logs()",
}
_OWN_CLIENT: Final = "it takes a client of dask.distributed's own"
_SEARCHES: Final = "scikit-learn's own, with the backend trio_dask of joblib"
#: Names of other packages, as they are imported, that look for Dask's client themselves.
OTHERS: Final[dict[str, str]] = {
    "dask_ml.model_selection.GridSearchCV": f"{_OWN_CLIENT}; {_SEARCHES}",
    "dask_ml.model_selection.RandomizedSearchCV": f"{_OWN_CLIENT}; {_SEARCHES}",
    **{
        f"dask_ml.model_selection.{name}": _OWN_CLIENT
        for name in (
            "HyperbandSearchCV",
            "IncrementalSearchCV",
            "InverseDecaySearchCV",
            "SuccessiveHalvingSearchCV",
        )
    },
    "xgboost.dask": _OWN_CLIENT,
    "dask_xgboost": _OWN_CLIENT,
}
