//! What survives an end at any instant, and what happens when files come back older, or not at all.

mod lost_files;
mod programs;
