"""Which of several workers writes: known from TF_CONFIG."""

import json

import pytest

from tfx_lr_finder.cluster import is_chief, task

WORKERS = {"worker": ["a:1", "b:1"]}
CHIEF = {**WORKERS, "chief": ["c:1"]}
MASTER = {**WORKERS, "master": ["c:1"]}


@pytest.mark.parametrize(
    ("cluster", "task_type", "index", "expected"),
    [
        (WORKERS, "worker", 0, True),
        (WORKERS, "worker", 1, False),
        (CHIEF, "chief", 0, True),
        (CHIEF, "worker", 0, False),
        (MASTER, "master", 0, True),
        (MASTER, "worker", 0, False),
        ({**WORKERS, "ps": ["d:1"]}, "ps", 0, False),
    ],
)
def test_one_process_of_a_cluster_is_the_chief(monkeypatch, cluster, task_type, index, expected):
    """The chief by name, or the first worker where there is none."""
    config = {"cluster": cluster, "task": {"type": task_type, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))

    assert is_chief() is expected
    assert task() == f"{task_type}-{index}"


@pytest.mark.parametrize("config", [None, "{}", '{"cluster": {}}'])
def test_process_without_a_cluster_is_its_own_chief(monkeypatch, config):
    """No TF_CONFIG, or one of no workers."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)

    assert is_chief()
    assert task() == "chief-0"
