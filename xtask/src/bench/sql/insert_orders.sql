insert into orders
    select n, n % 100000, (n % 1000000) / 100.0, (array['new', 'paid', 'shipped', 'returned'])[1 + n % 4],
        'a note about the order with number ' || n, '2026-01-01'::timestamptz + n * interval '1 second',
        jsonb_build_object('source', 'web', 'items', n % 7, 'gift', n % 5 = 0)
    from generate_series(:first, :last) n
