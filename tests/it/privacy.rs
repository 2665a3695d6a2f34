//! Nothing that an operator sees tells who a citizen is.
