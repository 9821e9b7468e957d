"""A `run_fn` is left at its first `fit`, whatever it does against that."""

import concurrent.futures
import sys
import textwrap
import threading
import time

import forked
import numpy as np
import pytest

from tfx_lr_finder.training.fit.captured_fit import first_fit

X = np.ones((4, 1), np.float32)
PATIENCE = 12
"""A loop that goes round more often than this would never have ended."""


@pytest.fixture
def model(keras_module):
    """A compiled model."""
    result = keras_module.Sequential([keras_module.Input((1,)), keras_module.layers.Dense(1)])
    result.compile("sgd", "mse")
    return result


endless = []
"""Has an entry for each loop that was not left."""


@pytest.fixture(autouse=True)
def none_endless():
    """Checks that every loop was left."""
    endless.clear()
    yield
    assert endless == []


def rounds():
    """Counts the rounds of a loop without an end, and ends it where nothing else does."""
    yield from range(PATIENCE)
    endless.append(True)


def tries_again(model):
    """Has a bare except in a loop."""
    for _ in rounds():
        try:
            model.fit(X, X)
            break
        except:  # noqa: E722
            continue


def tries_again_with_cleaning_up(model):
    """Has a `finally` and a context manager besides."""
    for _ in rounds():
        with threading.Lock():
            try:
                model.fit(X, X)
            except BaseException:
                pass
            finally:
                time.sleep(0)


def tries_again_in_two_ways(model):
    """Has one such clause around the other."""
    for _ in rounds():
        try:
            try:  # noqa: SIM105
                model.fit(X, X)
            except:  # noqa: E722
                pass
        except:  # noqa: E722
            pass


def tries_again_in_a_function(model):
    """Has a function that holds everything, in a loop that does, too."""

    def trained():
        try:
            model.fit(X, X)
        except:  # noqa: E722
            return False
        return True

    for _ in rounds():
        try:
            if trained():
                break
        except:  # noqa: E722
            pass


def tries_again_in_two_loops(model):
    """Has a loop in a loop, each with such a clause."""
    for _ in rounds():
        try:
            for _ in rounds():
                try:  # noqa: SIM105
                    model.fit(X, X)
                except:  # noqa: E722
                    pass
        except:  # noqa: E722
            pass


STUBBORN = [
    tries_again,
    tries_again_with_cleaning_up,
    tries_again_in_two_ways,
    tries_again_in_a_function,
    tries_again_in_two_loops,
]


@pytest.mark.parametrize("run_fn", STUBBORN)
def test_loop_that_holds_everything_is_left(model, run_fn):
    """The model is that of the first `fit`, and no line after the loop is run."""
    later, tracing = [], sys.gettrace()

    def whole():
        run_fn(model)
        later.append("line")

    assert first_fit(whole).model is model
    assert later == []
    assert sys.gettrace() is tracing


@pytest.mark.parametrize("run_fn", STUBBORN)
def test_loop_that_holds_a_refusal_is_left(model, run_fn, keras_module):
    """Of a training step in a loop of its own."""

    class OwnLoop(keras_module.Sequential):
        def fit(self, *args):
            return self.train_on_batch(*args)

    own = OwnLoop(model.layers)
    own.compile("sgd", "mse")

    with pytest.raises(ValueError, match="trains in a loop of its own"):
        first_fit(lambda: run_fn(own))


def test_what_comes_after_is_not_disturbed(model):
    """Nothing that was to end the user's code ends ours."""
    for _ in range(5):
        first_fit(lambda: tries_again_in_two_loops(model))
        assert sum(i for i in range(1000)) == 499500
        model.fit(X, X, verbose=0)


def in_a_thread(model, later):
    """Trains beside the thread that waits for it."""
    thread = threading.Thread(target=model.fit, args=(X, X))
    thread.start()
    thread.join()
    later.append("line")


def in_a_stubborn_thread(model, later):
    """Has a thread that tries again."""
    thread = threading.Thread(target=tries_again_in_two_loops, args=(model,))
    thread.start()
    thread.join()
    later.append("line")


def in_a_thread_that_is_not_waited_for(model, later):
    """Goes on beside its training."""
    threading.Thread(target=model.fit, args=(X, X), daemon=True).start()
    for _ in rounds():
        time.sleep(0.05)
    later.append("line")


def in_a_pool(model, later):
    """Asks a pool's thread for the result."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(model.fit, X, X).result()
    later.append("line")


def in_a_pool_without_asking(model, later):
    """Has a pool that nobody asks."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(model.fit, X, X)
    later.append("line")


@pytest.mark.parametrize(
    "run_fn",
    [
        in_a_thread,
        in_a_stubborn_thread,
        in_a_thread_that_is_not_waited_for,
        in_a_pool,
        in_a_pool_without_asking,
    ],
)
def test_fit_in_a_thread_ends_the_whole_function(model, run_fn, capfd):
    """As one in its own thread; the thread ends without a word, unless it held the first one."""
    later = []

    captured = first_fit(lambda: run_fn(model, later))

    assert captured.model is model
    assert len(list(captured.dataset)) == 1
    assert later == []
    if run_fn is not in_a_stubborn_thread:
        assert "Traceback" not in capfd.readouterr().err


def test_fit_that_outlives_the_function_ends_nobody(model):
    """A thread that is still at work when `run_fn` has ended is no concern of ours any more."""
    begin = threading.Event()

    def late():
        begin.wait()
        model.fit(X, X, verbose=0)

    threads = [threading.Thread(target=late) for _ in range(3)]
    with pytest.raises(ValueError, match="ended without a call of it"):
        first_fit(lambda: [thread.start() for thread in threads])
    begin.set()

    for thread in threads:
        thread.join()
    assert int(model.optimizer.iterations) >= 1


def test_loop_without_an_end_is_left(tmp_path):
    """A loop that is really endless, as in the report of it, in a process of its own."""
    script = """
        import keras, numpy as np
        from tfx_lr_finder.training.fit.captured_fit import first_fit

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")

        def run_fn():
            while True:
                try:
                    model.fit(np.ones((4, 1)), np.ones((4, 1)))
                except:
                    pass

        print(first_fit(run_fn).model is model)
    """
    stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"

    process = forked.start(["-c", textwrap.dedent(script)], stdout, stderr)
    process.join(timeout=120)
    process.kill()  # if it has not ended

    assert stdout.read_text() == "True\n", stderr.read_text()
