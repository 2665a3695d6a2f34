//! Knowledge of civil affairs: numbers, divisions, code lists, dates, money, text repair.
