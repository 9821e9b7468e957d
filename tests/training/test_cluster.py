"""The processes of a TF_CONFIG: which of them writes, and which jobs cannot be."""

import json

import pytest

from tfx_lr_finder.training.model.cluster import check_cluster, is_alone, is_chief

WORKERS = {"worker": ["a:1", "b:1"]}
CHIEF = {"chief": ["c:1"], "worker": ["a:1"]}


@pytest.mark.parametrize(
    ("cluster", "job", "index", "expected"),
    [
        (WORKERS, "worker", 0, True),
        (WORKERS, "worker", 1, False),
        (CHIEF, "chief", 0, True),
        (CHIEF, "worker", 0, False),
    ],
)
def test_one_process_of_a_cluster_is_the_chief(monkeypatch, cluster, job, index, expected):
    """The chief by name, or the first worker where there is none."""
    set_config(monkeypatch, cluster, job, index)

    check_cluster()
    assert is_chief() is expected
    assert not is_alone()


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{}",
        '{"cluster": {}}',
        '{"cluster": {"master": ["a:1"]}, "task": {"type": "master", "index": 0}}',
    ],
)
def test_single_process_is_alone_and_the_chief(monkeypatch, config):
    """No TF_CONFIG, one of no processes, or of one, whatever its job is called."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)

    check_cluster()
    assert is_alone()
    assert is_chief()


@pytest.mark.parametrize(
    ("cluster", "job", "received"),
    [
        ({**WORKERS, "ps": ["d:1"]}, "worker", r"\['ps', 'worker'\]"),
        ({**CHIEF, "evaluator": ["d:1"]}, "chief", r"\['chief', 'evaluator', 'worker'\]"),
        (CHIEF, "evaluator", r"\['chief', 'evaluator', 'worker'\]"),
        ({**WORKERS, "master": ["d:1"]}, "master", r"\['master', 'worker'\]"),
    ],
)
def test_processes_that_do_not_train_are_refused(monkeypatch, cluster, job, received):
    """Parameter servers, evaluators, and a chief of the name that TensorFlow has given up."""
    set_config(monkeypatch, cluster, job, 0)

    with pytest.raises(
        ValueError,
        match=r"must be workers, .* chief\. Received: a TF_CONFIG with the jobs "
        rf"{received}\. Leave",
    ):
        check_cluster()


def set_config(monkeypatch, cluster, job, index):
    """Makes this process one of a cluster."""
    config = {"cluster": cluster, "task": {"type": job, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
