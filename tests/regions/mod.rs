//! The region data: what it holds, what is refused, what is said about it, how it is refreshed.

mod broken;
mod commands;
mod data;
mod refresh;
