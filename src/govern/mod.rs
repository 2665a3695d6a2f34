//! Agreements: who may get which dataset, which fields, in what form, for what purpose.
