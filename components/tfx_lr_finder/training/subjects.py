"""The subjects of the trainings: what the user's code makes, called no more often than it must."""

import gc

import tensorflow as tf

from tfx_lr_finder.training.data.autotuning import without_autotuning
from tfx_lr_finder.training.data.first_batches import FirstBatches
from tfx_lr_finder.training.data.reading import explained_reading
from tfx_lr_finder.training.judge.held_out import HeldOut
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult, Make
from tfx_lr_finder.training.model.cluster import is_alone
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps
from tfx_lr_finder.training.model.random_state import kept_random_state
from tfx_lr_finder.training.subject import Subject, make_subject


class Subjects:
    """Makes the subject of each training.

    A sweep gets a model and data of its own. Trials and proofs with one seed start from the same
    values and read the same batches: they share a model, and the batches that are read once, if
    these are small. Otherwise each of them has its own, too, because the first pass over a new data
    set is the only one that is the same every time.
    """

    def __init__(self, make: Make) -> None:
        """Stores the argument; nothing is made yet."""
        self._make = make
        self._is_first = True
        self._held_out: dict[int, HeldOut | None] = {}
        self._shared: tuple[int, Subject, FirstBatches] | None = None
        self._not_kept: set[int] = set()

    def swept(self, seed: int, num_steps: int, proof_seed: int | None = None) -> Subject:
        """Returns a new subject for a sweep with a seed.

        With the seed of the proofs that will follow, it has the same form as theirs: it comes with
        the examples that are held out of them.
        """

        def held_out() -> HeldOut | None:
            return None if proof_seed is None else self._held_out_of(proof_seed)

        return make_subject(self._make_anew, seed, held_out, False).reading(0, num_steps)

    def judged(self, seed: int, num_steps: int, first_step: int = 0) -> Subject:
        """Returns a subject for a trial or a proof with a seed: held-out examples may judge it.

        It has the batches of `num_steps` steps, after those of `first_step` steps.
        """
        subject = self._with_shared_batches(seed, first_step + num_steps)
        if subject is None:
            subject = self._judged(seed)
        return subject.reading(first_step, num_steps)

    def unread_dataset(self, seed: int) -> tf.data.Dataset:
        """Returns a new data set that no training reads.

        A data set that shuffles draws a new order for each pass, and later passes may begin in
        advance, at any time. So only the first pass over a new data set is always the same.
        """
        return without_autotuning(self._make_anew(seed).dataset)

    def release(self) -> None:
        """Lets go of the shared model and batches, and of the iterator that has read them."""
        self._shared = None

    def _with_shared_batches(self, seed: int, num_steps: int) -> Subject | None:
        """Returns the shared subject of a seed; its data set starts with the batches of the steps.

        None if these cannot be kept, or if processes train together: a strategy may choose the
        files of each.
        """
        if seed in self._not_kept or not is_alone():
            return None
        if self._shared is None or self._shared[0] != seed:
            self._shared = None
            subject = self._judged(seed)
            self._shared = seed, subject, FirstBatches(subject.dataset, seed)
        _, subject, first_batches = self._shared
        num_batches = num_steps * accumulation_steps(subject.model.optimizer)
        dataset = first_batches.dataset(num_batches)
        if dataset is None:
            self._not_kept.add(seed)
            self._shared = None
            return None
        return subject._replace(dataset=dataset, is_in_memory=True)

    def _judged(self, seed: int) -> Subject:
        return make_subject(self._make_anew, seed, lambda: self._held_out_of(seed), True)

    def _held_out_of(self, seed: int) -> HeldOut | None:
        """Returns the examples that judge a proof without validation data, or None."""
        if seed not in self._held_out:
            dataset = self.unread_dataset(seed)
            with kept_random_state(seed), explained_reading(dataset):
                self._held_out[seed] = HeldOut.of(dataset)
        return self._held_out[seed]

    def _make_anew(self, seed: int) -> LrFinderFnResult:
        """Calls the user's code, after freeing the models that earlier calls made."""
        if not self._is_first:
            gc.collect()  # Keras models have reference cycles: dropped ones pile up
        self._is_first = False
        return self._make(seed)
