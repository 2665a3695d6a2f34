
mod identity;
