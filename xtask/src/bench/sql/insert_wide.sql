insert into orders
    select o, o % 100000, '2026-01-01'::timestamptz + o * interval '1 second',
        md5(o::text) || (select left(body, :body - 32) from bodies where n = o % 997)
    from generate_series(:first, :last) o
