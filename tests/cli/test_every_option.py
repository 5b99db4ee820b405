"""Every option of every command is given to a running one somewhere, and its effect is seen there.

The table says where. An option that is new, and has no place in it, fails here; so does a place
where the option is not written.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.cli.every_option import every_option, words_of_test

DASK: Final = "cli/test_dask_options.py"
SERVERS: Final = "cli/test_options_of_servers.py"
SMALL: Final = "cli/test_small_commands.py"
JOBS: Final = "cli/test_job_script.py::test_scripts"
JOB_TEXT: Final = "cli/test_job_script.py::test_what_is_said_as_it_is"
MANAGING: Final = "system/test_managing.py"

_SCHEDULER: Final = {
    f"{DASK}::test_ports_of_a_scheduler": "--port --scheduler-file --pid-file --no-dashboard",
    f"{DASK}::test_ipv6": "--host",
    f"{DASK}::test_two_protocols_and_an_interface": (
        "--interface --protocol --tls-ca-file --tls-cert --tls-key --tls-dashboard"
    ),
    f"{DASK}::test_dashboards": "--dashboard-address --dashboard-prefix",
    f"{DASK}::test_idle_timeout": "--idle-timeout",
    f"{DASK}::test_preload_of_a_scheduler": "--preload",
    "cli/test_replay.py::test_the_options_that_record": "--event-log",
    f"{SERVERS}::test_what_a_scheduler_shows_of_its_log": "--log-level --log-format",
    f"{DASK}::test_what_changes_nothing_says_so": "--jupyter --no-show --use-xheaders",
    "deploy/test_ssh.py::test_a_cluster_over_ssh": "--tied --token-on-stdin",
    "cli/test_mpi.py::test_options_reach_the_processes": "--workers-file",
}
_WORKER: Final = {
    f"{DASK}::test_what_the_scheduler_is_told_of_a_worker": (
        "--name --nthreads --memory-limit --resources --listen-address --contact-address "
        "--local-directory --pid-file"
    ),
    f"{DASK}::test_ports_of_workers": "--nworkers --worker-port --interface",
    f"{DASK}::test_workers_with_certificates": (
        "--tls-ca-file --tls-cert --tls-key --scheduler-sni"
    ),
    f"{DASK}::test_the_page_of_a_worker": "--dashboard-address --dashboard-prefix",
    f"{DASK}::test_preloads_of_a_worker": "--preload --preload-nanny",
    f"{DASK}::test_what_changes_nothing_says_so": "--nanny-port --worker-class",
    f"{SERVERS}::test_where_a_worker_listens_and_how": (
        "--host --protocol --dashboard --tls-dashboard"
    ),
    f"{SERVERS}::test_workers_do_not_leave_together": "--lifetime-stagger",
    f"{SERVERS}::test_processes_that_are_old_or_big": "--max-age --max-rss",
    f"{SERVERS}::test_lines_of_a_log": "--log-level --log-format",
    f"{MANAGING}::test_a_lifetime_ends_and_begins_anew": "--lifetime --lifetime-restart",
    f"{MANAGING}::test_processes_that_have_done_enough_make_room": "--max-tasks",
    "cli/test_servers.py::test_workers_find_scheduler_and_token_in_a_file": "--scheduler-file",
    "cli/test_servers.py::test_worker_without_a_nanny": "--no-nanny",
    "cli/test_servers.py::test_an_unreachable_scheduler_is_waited_for_in_plain_sight": (
        "--death-timeout"
    ),
    "cli/test_replay.py::test_the_options_that_record": "--event-log",
    "deploy/test_ssh.py::test_a_cluster_over_ssh": "--tied --token-on-stdin",
    "cli/test_spec.py::test_one_and_several": "--unnumbered",
}
#: By command: which options are seen at work in which test.
EFFECTS: Final[dict[str, dict[str, str]]] = {
    "scheduler": _SCHEDULER,
    "worker": _WORKER,
    "cluster": {
        "cli/test_cluster.py::test_clients_of_the_same_user_just_connect": (
            "--nworkers --nthreads --memory-limit --port --scheduler-file --pid-file"
        ),
        "cli/test_cluster.py::test_options_reach_the_workers": (
            "--name --resources --local-directory --log-level --host --no-dashboard"
        ),
        "cli/test_top.py::test_a_cluster_on_a_terminal_and_in_a_pipe": "--dashboard-address",
    },
    "run": {
        "cli/test_run.py::test_a_script_finds_its_cluster_its_arguments_and_what_stands_beside_it": (
            "--nworkers --nthreads --memory-limit --name --resources --local-directory"
        ),
        "cli/test_run.py::test_a_module_with_a_cluster_that_is_there": "-m --scheduler-file",
        "cli/test_run.py::test_the_exit_code_is_the_scripts": "--scheduler",
        "cli/test_run.py::test_a_signal_before_the_script_runs": "--log-level",
    },
    "ssh": {
        "deploy/test_ssh.py::test_the_command": (
            "--scheduler --scheduler-port --nthreads --nworkers --memory-limit --worker-port "
            "--local-directory --hostfile --ssh-username --ssh-port --ssh-private-key --nohost "
            "--log-directory --remote-python --remote-dask-worker --nanny-port --log-level "
            "--log-format"
        )
    },
    "spec": {
        "cli/test_spec.py::test_one_and_several": "--spec --spec-file --log-level --log-format"
    },
    "mpi": {
        "cli/test_mpi.py::test_options_reach_the_processes": (
            "--scheduler-file --shared-directory --local-directory --nworkers --nthreads "
            "--memory-limit --name --resources --no-nanny --preload --scheduler-port --interface "
            "--protocol --tls-ca-file --tls-cert --tls-key --tls-dashboard --dashboard "
            "--dashboard-address --death-timeout --log-level --log-format"
        )
    },
    "job-script": {
        JOBS: (
            "--cores --memory --processes --nodes --queue --account --walltime --name "
            "--log-directory --python --parallel-environment --job-script-prologue "
            "--local-directory --resources --scheduler-file"
        ),
        JOB_TEXT: "--resource-spec --job-extra-directives --shebang --interface --death-timeout",
        "cli/test_job_script.py::test_a_launcher_of_ones_own": "--launcher",
    },
    "migrate": {"cli/test_migrate.py::test_the_command": "--all"},
    "demo": {"cli/test_demo.py::test_terminals_that_can_or_shall_do_less": "--nworkers"},
    "retire": {f"{MANAGING}::test_the_command_retires": "-n"},
    "top": {"cli/test_top.py::test_so_many_pictures": "--count --every"},
    "progress": {"cli/test_top.py::test_until_nothing_is_left": "--follow"},
    "status": {"cli/test_status.py::test_a_running_cluster": "--json"},
    "why": {"cli/test_status.py::test_a_running_cluster": "--json"},
    "logs": {"cli/test_status.py::test_logs": "--json -n"},
    "replay": {"cli/test_replay.py::test_a_clean_log": "--every"},
    "completion": {"cli/test_completion.py::test_it_is_installed": "--install"},
    "token new": {f"{SMALL}::test_token_commands": "--replace"},
    "token link": {f"{SMALL}::test_what_opens_the_dashboard": "--control"},
    "token rotate": {"cli/test_certs.py::test_a_token_is_replaced": "--keep --stdin"},
    "certs new": {
        "cli/test_certs.py::test_a_team_gets_its_certificates": "--name --host --days --replace"
    },
    "config list": {f"{SMALL}::test_config_list_shows_values_and_origins": "--verbose"},
}

#: They are not for people: another command of ours, of which the test is, writes them.
WRITTEN_BY_US: Final = {"--tied", "--token-on-stdin", "--workers-file", "--unnumbered"}


@pytest.mark.parametrize("command", [each for each, has in every_option().items() if has])
def test_each_has_a_test(command: str) -> None:
    """None without one, and none that is not there any more."""
    names = {name: each.name for each in every_option()[command] for name in each.names}
    seen = {names[word] for words in EFFECTS[command].values() for word in words.split()}
    assert {each.name for each in every_option()[command]} == seen


@pytest.mark.parametrize("command", sorted(EFFECTS))
def test_each_is_given_there(command: str) -> None:
    """The test that is named is there, and writes the option."""
    for where, words in EFFECTS[command].items():
        missing = set(words.split()) - WRITTEN_BY_US - words_of_test(where)
        assert not missing, f"{where} does not give {missing}"
