"""Options of filtering and smoothing a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class MotionModelOptions:
    """The grid of motion models, and how they interact.

    Motion is measured in single-frame sigmas per interval between frames (the tracking index, Kalata 1984), so that
    one grid serves a hand in a kitchen and a drone over a town: the defaults rarely need a change. Cost grows with the
    number of models, `len(process_noise_levels) ** 2 * len(white_fractions)`.

    Attributes:
        process_noise_levels: sqrt(3) times what random acceleration adds to a pose from one frame to the next, in
            single-frame sigmas: the power spectral density is (level * sigma)^2 / interval^3. Rotation and position
            each take every one of them. The defaults reach from a camera on a rail to one about which the last frame
            says nothing, a factor of five apart.
        process_noise_prior: prior weight of each level. The upper end is rare, but must be there: a drone that turns at
            the end of its lane is no wrong pose.
        white_fractions: fractions of the measurement covariance that are white noise, drawn anew with each frame; what
            a fraction lacks to one is a bias that all frames have in common. Above one: the covariances of single
            frames are too small.
        white_fraction_prior: prior weight of each fraction.
        switch_probability: that another model takes over from one frame to the next: a model lasts about 30 frames.
        initial_velocity_sigmas: sigma of a velocity of which nothing is known, in single-frame sigmas per interval:
            wide enough to be uninformative, while covariances can still be inverted.
        outlier_probability, outlier_sigmas: a measurement may be wrong with this probability, and then lies anywhere
            within so many sigmas. It bounds how much a single frame can say against a model.
        scale_window: frames over which the medians of sigmas and intervals are taken.
    """

    process_noise_levels: tuple[float, ...] = tuple(np.geomspace(0.01, 150.0, 7).tolist())
    process_noise_prior: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 0.3, 0.1, 0.03)
    white_fractions: tuple[float, ...] = (0.06, 0.25, 1.0, 4.0)
    white_fraction_prior: tuple[float, ...] = (0.3, 0.3, 0.3, 0.1)
    switch_probability: float = 0.03
    initial_velocity_sigmas: float = 1e4
    outlier_probability: float = 0.01
    outlier_sigmas: float = 100.0
    scale_window: int = 50

    def __post_init__(self) -> None:
        for name, prior_name in (
            ("process_noise_levels", "process_noise_prior"),
            ("white_fractions", "white_fraction_prior"),
        ):
            values, prior = getattr(self, name), getattr(self, prior_name)
            if not values or len(values) != len(prior) or min(*values, *prior) <= 0:
                raise ValueError(f"{name} and {prior_name} are as many numbers above 0, got {values} and {prior}")
        if not (0 < self.switch_probability < 1 and 0 < self.outlier_probability < 1):
            raise ValueError(f"probabilities lie between 0 and 1, got {self}")
        if not (self.initial_velocity_sigmas > 0 and self.outlier_sigmas > 0 and self.scale_window >= 1):
            raise ValueError(f"need sigmas above 0 and a window of at least one frame, got {self}")


@dataclass(frozen=True)
class SequenceOptions:
    """When to take a measurement for an outlier, and when to give up a track.

    Attributes:
        gate: significance level of the gate, the fraction of right poses that may be rejected as outliers.
        max_growth: a bridged pose is given while its sigma is at most so many times that of a single frame.
        max_unseen: after more frames in a row without a pose that passes the gate, the track is dropped.
        confirmed_after: measurements of a track before it may replace another one. Any two are consistent, as the
            velocity is unknown before them.
        sure: a frame whose confidence is at least that begins a new track where it contradicts one that is too
            uncertain to give a pose (`max_growth`).
        smoother_samples: sequences of models that the smoother averages over.
        motion: the motion models.
    """

    gate: float = 1e-4
    max_growth: float = 10.0
    max_unseen: int = 10
    confirmed_after: int = 3
    sure: float = 0.999
    smoother_samples: int = 16
    motion: MotionModelOptions = field(default_factory=MotionModelOptions)

    def __post_init__(self) -> None:
        if not self.sure > 0:
            raise ValueError(f"a frame is sure from a probability above 0 on, got {self}")
        if not (0 < self.gate < 1 and self.max_growth > 0 and self.max_unseen >= 0):
            raise ValueError(f"need a gate between 0 and 1, a growth above 0 and a count of frames, got {self}")
        if self.confirmed_after < 1 or self.smoother_samples < 1:
            raise ValueError(f"need at least one measurement and one sample, got {self}")
