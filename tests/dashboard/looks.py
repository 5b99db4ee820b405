"""What made-up workers say of themselves: a profile, and what their tasks are doing."""

from __future__ import annotations

from typing import Any, Final

from trio_dask.messages.inquiring import packed
from trio_dask.messages.profiles import Frame, Profile
from trio_dask.messages.speech import LastSaid, LogLine

_LIB: Final = "/opt/env/lib/python3.11/site-packages"
_OWN: Final = "/home/ann/project"

#: What tasks call, and how often that is seen.
PATHS: Final[list[tuple[int, str, list[tuple[str, str, int]]]]] = [
    (40, "load_partition", [("load_partition", f"{_OWN}/pipeline.py", 12), ("read_parquet", f"{_LIB}/pandas/io/parquet.py", 447), ("read", f"{_LIB}/pyarrow/parquet/core.py", 1410)]),
    (8, "load_partition", [("load_partition", f"{_OWN}/pipeline.py", 12), ("open", f"{_LIB}/fsspec/core.py", 101)]),
    (30, "clean", [("clean", f"{_OWN}/pipeline.py", 31), ("DataFrame.astype", f"{_LIB}/pandas/core/generic.py", 6400), ("astype_array", f"{_LIB}/pandas/core/dtypes/astype.py", 157)]),
    (9, "clean", [("clean", f"{_OWN}/pipeline.py", 31), ("strip_all", f"{_OWN}/text.py", 8)]),
    (55, "tokenize", [("tokenize", f"{_OWN}/text.py", 20), ("Tokenizer.words", f"{_OWN}/text.py", 44), ("finditer", "/usr/lib/python3.11/re/__init__.py", 220)]),
    (20, "tokenize", [("tokenize", f"{_OWN}/text.py", 20), ("Tokenizer.words", f"{_OWN}/text.py", 44), ("lower", f"{_OWN}/text.py", 61)]),
    (130, "train_model", [("train_model", f"{_OWN}/model.py", 9), ("fit", f"{_LIB}/sklearn/linear_model/_logistic.py", 1200), ("minimize", f"{_LIB}/scipy/optimize/_minimize.py", 53), ("_minimize_lbfgsb", f"{_LIB}/scipy/optimize/_lbfgsb_py.py", 290), ("fun", f"{_LIB}/sklearn/linear_model/_linear_loss.py", 300)]),
    (25, "train_model", [("train_model", f"{_OWN}/model.py", 9), ("fit", f"{_LIB}/sklearn/linear_model/_logistic.py", 1200), ("check_X_y", f"{_LIB}/sklearn/utils/validation.py", 1150)]),
    (14, "evaluate", [("evaluate", f"{_OWN}/model.py", 40), ("predict", f"{_LIB}/sklearn/linear_model/_base.py", 440)]),
    (12, "write_parquet", [("write_parquet", f"{_OWN}/pipeline.py", 70), ("to_parquet", f"{_LIB}/pandas/core/frame.py", 2980)]),
    (4, "checksum", [("checksum", f"{_OWN}/pipeline.py", 90)]),
]  # fmt: skip


def profile(name: str = "") -> bytes:
    """What a worker answers: all of the last minutes, or what one function did."""
    tree, total = Profile(), dict[str, int]()
    for count, task, calls in PATHS:
        total[task] = total.get(task, 0) + count
        if name in ("", task):
            tree.add([Frame(task), *(Frame(*each) for each in calls)], count * 20)
    times = [
        [ago * 10.0 + 5.0, 10.0, {each: count * (40 - ago) // 40 for each, count in total.items()}]
        for ago in range(40)
    ]
    return packed({"interval_s": 0.01, "profile": tree.columns(1_000), "times": times})


def stacks(tasks: list[tuple[str, str]]) -> bytes:
    """What a worker answers: the calls of these tasks, by key and function."""
    found = []
    for key, name in tasks:
        calls = next((calls for _, task, calls in PATHS if task == name), [])
        frames = [[function, file, line + 3] for function, file, line in calls]
        found.append({"key": key, "name": name, "attempt": 1, "waits": False, "frames": frames,
                      "left_out": 0})  # fmt: skip
    return packed({"stacks": found, "left_out": 0})


def words() -> bytes:
    """What a worker answers: what a task has said."""
    said = [("stdout", "reading part 3 of 12"), ("log", "my.reader - WARNING - 2 rows are empty")]
    lines = tuple(LogLine(1.8e9 + at, *line) for at, line in enumerate(said))
    return LastSaid(1, 17, lines).packed()


def logs() -> bytes:
    """What a worker answers: its log, and what its tasks have printed."""
    lines = [
        [12.5, "WARNING", "trio_dask.worker", "The runner of worker w-0 has ended: it was killed by signal 9; starting another"],
        [95.0, "INFO", "trio_dask.worker", "Registered to:    tcp://192.0.2.10:8786 as w-0"],
        [95.4, "INFO", "trio_dask.worker", "Start worker at:  tcp://192.0.2.11:41287"],
    ]  # fmt: skip
    return packed({"lines": lines, "output": ["epoch 1: loss 0.532", "epoch 2: loss 0.411"]})


def scheduler_logs(began: float, now: float) -> list[dict[str, Any]]:
    """What a scheduler has logged by now, the newest first."""
    lines = [
        (61.0, "WARNING", "trio_dask.scheduler", "node-000-3 is silent since 15 s"),
        (2.5, "INFO", "trio_dask.scheduler", "node-000-0 at tcp://node-000:40000 has joined, with 2 slots"),
        (0.1, "INFO", "trio_dask.scheduler", "dashboard at:   http://192.0.2.10:8787/status"),
        (0.0, "INFO", "trio_dask.scheduler", "Scheduler at:   tcp://192.0.2.10:8786"),
    ]  # fmt: skip
    return [
        {"ago_s": now - began - at, "level": level, "logger": logger, "text": text}
        for at, level, logger, text in lines
        if at <= now - began
    ]


def answers(said: dict[str, bytes]) -> dict[str, Any]:
    """As the scheduler answers."""
    return {"said": said, "refused": {}, "silent": []}
