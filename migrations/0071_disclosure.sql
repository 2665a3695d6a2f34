-- Notices to the public that stand or stood, without anything that a notice may not show. Days are `yyyy-mm-dd`.
CREATE TABLE public_notice (
    object_id TEXT PRIMARY KEY, kind TEXT NOT NULL, division TEXT NOT NULL,
    from_date TEXT NOT NULL, to_date TEXT NOT NULL, -- both count; lists and policies have no last day
    hotline TEXT NOT NULL,
    body TEXT NOT NULL,              -- sealed: names of heads, persons covered, incomes, amounts
    sequence BIGINT NOT NULL
);
CREATE INDEX public_notice_division ON public_notice (division, object_id);
