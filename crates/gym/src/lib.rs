//! The perception gym.
