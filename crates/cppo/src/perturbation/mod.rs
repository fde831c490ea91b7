//! Image perturbations that preserve or remove information (paper, section 3.2).
