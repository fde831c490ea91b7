//! Range checks of parameters.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// Refuses a value outside `bounds`, NaN included.
pub(super) fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    bounds: RangeInclusive<T>,
) -> Result<(), String> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(format!("{key} is {value}, must be between {} and {}", bounds.start(), bounds.end()))
}

/// Refuses `[low, high]` unless both lie within `bounds` and `low` is at most `high`.
pub(super) fn ordered(
    key: &str,
    [low, high]: [f64; 2],
    bounds: RangeInclusive<f64>,
) -> Result<(), String> {
    if bounds.contains(&low) && bounds.contains(&high) && low <= high {
        return Ok(());
    }
    Err(format!(
        "{key} is [{low}, {high}], must be [low, high] between {} and {}",
        bounds.start(),
        bounds.end()
    ))
}
