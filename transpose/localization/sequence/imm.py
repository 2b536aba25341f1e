"""Interacting multiple models (IMM; Blom and Bar-Shalom 1988) over process noise and measurement bias.

How strongly a camera accelerates, and which fraction of its pose errors is white noise, differs from one video to the
next and changes within one. Instead of being tuned, both run over a grid (`MotionModelOptions`): every combination is a
Kalman filter of its own, weighted by the likelihood of its innovations; from frame to frame another one may take over.
Times may be seconds or frame numbers, as motion is measured per typical interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.poses import Pose, compose, exp_so3, log_so3
from transpose.localization.sequence.kalman import Innovation, initial_state, innovate, predict, update
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.options import MotionModelOptions
from transpose.localization.sequence.state import (
    POSE,
    MotionState,
    NoiseModel,
    outer,
    propagate_covariance,
    translation_to_world,
    transposed,
)
from transpose.randomness import stream


@dataclass(frozen=True)
class Scale:
    """What is typical of a sequence: sigmas of a single frame about and along an axis, and the time between frames."""

    sigma_rad: float
    sigma_m: float
    interval_s: float

    @classmethod
    def typical(cls, measurements: Iterable[PoseMeasurement], intervals_s: Iterable[float]) -> Scale:
        """Medians over measurements and intervals."""
        sigma_rad, sigma_m = np.median([(each.sigma_rad, each.sigma_m) for each in measurements], axis=0)
        return cls(float(sigma_rad), float(sigma_m), float(np.median(list(intervals_s))))

    def growth(self, covariance_66: np.ndarray) -> float:
        """Sigma of a covariance over (rad, m) as a multiple of a single frame's, the larger of rotation's and
        position's."""
        variance_6 = np.diag(covariance_66)
        return float(max(variance_6[:3].mean() / self.sigma_rad**2, variance_6[3:].mean() / self.sigma_m**2) ** 0.5)


@dataclass(frozen=True)
class ModelBank:
    """The grid of motion models.

    Attributes:
        angular_level_g, linear_level_g: process-noise level of rotation and position, see `MotionModelOptions`.
        white_fraction_g: see `NoiseModel`.
        prior_g: prior probability of each model; they sum to one.
        options: how models switch and start.
    """

    angular_level_g: np.ndarray
    linear_level_g: np.ndarray
    white_fraction_g: np.ndarray
    prior_g: np.ndarray
    options: MotionModelOptions

    @classmethod
    def grid(cls, options: MotionModelOptions) -> ModelBank:
        """All combinations of levels and fractions."""
        levels, level_prior = np.array(options.process_noise_levels), np.array(options.process_noise_prior)
        fractions, fraction_prior = np.array(options.white_fractions), np.array(options.white_fraction_prior)
        angular, linear, white = np.meshgrid(levels, levels, fractions, indexing="ij")
        prior_g = np.einsum("i,j,k->ijk", level_prior, level_prior, fraction_prior).ravel()
        return cls(angular.ravel(), linear.ravel(), white.ravel(), prior_g / prior_g.sum(), options)

    def noise(self, scale: Scale, index: np.ndarray | slice = slice(None)) -> NoiseModel:
        """Noise of all models, or of those of some indices, in radians, metres and seconds."""
        angular_psd_g = (self.angular_level_g[index] * scale.sigma_rad) ** 2 / scale.interval_s**3
        linear_psd_g = (self.linear_level_g[index] * scale.sigma_m) ** 2 / scale.interval_s**3
        white_fraction_g = self.white_fraction_g[index]
        return NoiseModel(angular_psd_g, linear_psd_g, white_fraction_g, np.maximum(1 - white_fraction_g, 0.0))

    def initial_state(self, measurement: PoseMeasurement | None, noise: NoiseModel, scale: Scale) -> MotionState:
        """The state at the first frame of a track, velocities unknown."""
        if measurement is None:
            raise ValueError("a track starts with a measurement")
        sigmas_s = self.options.initial_velocity_sigmas
        return initial_state(
            measurement,
            noise,
            sigmas_s * scale.sigma_rad / scale.interval_s,
            sigmas_s * scale.sigma_m / scale.interval_s,
        )

    def predict(
        self, state: MotionState, weight_g: np.ndarray, noise: NoiseModel, seconds: float
    ) -> tuple[MotionState, np.ndarray]:
        """Interaction and prediction: states and model weights at the next frame, before its measurement."""
        switch = self.options.switch_probability
        stays_g = (1 - switch) * weight_g
        next_g = stays_g + switch * self.prior_g
        return predict(mix(state, weight_g, stays_g / next_g), noise, seconds), next_g

    def update_model_weights(self, weight_g: np.ndarray, innovation: Innovation) -> np.ndarray:
        """Posterior weights (g,) given a measurement, which is an outlier with some probability."""
        outlier = self.options.outlier_probability
        outlier_g66 = self.options.outlier_sigmas**2 * (
            innovation.sensitivity_g66 @ transposed(innovation.sensitivity_g66)
        )
        log_weight_g = np.log(weight_g) + np.logaddexp(
            np.log1p(-outlier) + innovation.log_likelihood(innovation.covariance_g66),
            np.log(outlier) + innovation.log_likelihood(outlier_g66),
        )
        weight_g = np.exp(log_weight_g - log_weight_g.max())
        return weight_g / weight_g.sum()

    def filtered_weights(
        self, measurements: Sequence[PoseMeasurement | None], intervals_s: np.ndarray, scale: Scale
    ) -> np.ndarray:
        """Weights (n, g) of the models at each frame given the frames up to it; the first frame has a measurement."""
        noise, weight_g = self.noise(scale), self.prior_g
        state = self.initial_state(measurements[0], noise, scale)
        weights = [weight_g]
        for seconds, measurement in zip(intervals_s, measurements[1:], strict=True):
            state, weight_g = self.predict(state, weight_g, noise, seconds)
            if measurement is not None:
                innovation = innovate(state, noise, measurement)
                state, weight_g = update(state, innovation), self.update_model_weights(weight_g, innovation)
            weights.append(weight_g)
        return np.array(weights)

    def sample_model_sequences(self, weight_ng: np.ndarray, count: int) -> np.ndarray:
        """Which model held at each frame, indices (n, count), drawn given all frames.

        Forward filtering, backward sampling (Carter and Kohn 1994).

        Args:
            weight_ng: what `filtered_weights` returns.
            count: sequences to draw.
        """
        rng, switch = stream(0, "histories of motion models"), self.options.switch_probability
        index_s = rng.choice(len(self.prior_g), count, p=weight_ng[-1])
        sampled = [index_s]
        for weight_g in weight_ng[-2::-1]:
            stays_s = (1 - switch) * weight_g[index_s]
            stays_s /= stays_s + switch * self.prior_g[index_s]
            others_s = rng.choice(len(self.prior_g), count, p=weight_g)
            index_s = np.where(rng.random(count) < stays_s, index_s, others_s)
            sampled.append(index_s)
        return np.array(sampled[::-1])


def p_value(weight_g: np.ndarray, innovation: Innovation) -> float:
    """Probability that a right measurement has a larger innovation: the models' chi-square tails with six degrees of
    freedom, averaged by their weights."""
    half_g = 0.5 * innovation.squared_mahalanobis(innovation.covariance_g66)
    return float(weight_g @ (np.exp(-half_g) * (1 + half_g + 0.5 * half_g**2)))


def mix(state: MotionState, weight_g: np.ndarray, stays_g: np.ndarray) -> MotionState:
    """Mixed initial states: what each model goes on from when another one may have held until now.

    Args:
        state: by each model.
        weight_g: probability that each model held, summing to one.
        stays_g: probability that the model that holds from now on held before; else it was any, by their weights.
    """
    best = state.select(np.array([weight_g.argmax()]))
    delta_gx = state.minus(best)
    mean_x = weight_g @ delta_gx
    P_xx = np.einsum("g,gxy->xy", weight_g, state.P_gxx + outer(delta_gx - mean_x))
    S_x6 = np.einsum("g,gxi->xi", weight_g, state.S_gx6)
    merged = replace(best, P_gxx=P_xx[None], S_gx6=S_x6[None]).plus(mean_x[None])
    delta_gx, stays_g11 = merged.minus(state), stays_g[:, None, None]
    P_gxx = stays_g11 * state.P_gxx + (1 - stays_g11) * (merged.P_gxx + stays_g11 * outer(delta_gx))
    mixed = replace(state, P_gxx=P_gxx, S_gx6=stays_g11 * state.S_gx6 + (1 - stays_g11) * merged.S_gx6)
    return mixed.plus((1 - stays_g[:, None]) * delta_gx)


def combine(state: MotionState, noise: NoiseModel, weight_g: np.ndarray) -> tuple[Pose, np.ndarray]:
    """Mean pose of the models by their weights (summing to one), and its covariance (6, 6) over xi = (rad, m).

    Moments of the mixture: the distance of the models from their mean counts as uncertainty.
    """
    best = int(weight_g.argmax())
    R_best_33 = state.R_g33[best]
    xi_g6 = np.concatenate(
        [log_so3(R_best_33.T @ state.R_g33), (state.center_g3 - state.center_g3[best]) @ R_best_33], 1
    )
    mean_6 = weight_g @ xi_g6
    S_g66 = state.S_gx6[:, POSE]
    P_g66 = state.P_gxx[:, POSE, POSE] + noise.bias_fraction_g[:, None, None] * (S_g66 @ transposed(S_g66))
    P_g66 = propagate_covariance(transposed(translation_to_world(state.R_g33)), P_g66)
    covariance_66 = np.einsum("g,gij->ij", weight_g, P_g66 + outer(xi_g6 - mean_6))
    T_wc_44 = compose(R_best_33 @ exp_so3(mean_6[:3]), state.center_g3[best] + R_best_33 @ mean_6[3:])
    return Pose(T_wc_44), 0.5 * (covariance_66 + covariance_66.T)
