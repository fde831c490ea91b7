//! Verifiable rewards: answer format and accuracy.
