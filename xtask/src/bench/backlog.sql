create table orders (
    id bigint primary key,
    customer int4 not null,
    amount numeric(12,2) not null,
    status text not null,
    note text,
    created timestamptz not null,
    payload jsonb
);
create publication bench for table orders;
create procedure load(transactions bigint, rows_each bigint) language plpgsql as $$
begin
    for t in 0 .. transactions - 1 loop
        insert into orders
            select n, n % 100000, (n % 1000000) / 100.0, (array['new', 'paid', 'shipped', 'returned'])[1 + n % 4],
                'a note about the order with number ' || n, '2026-01-01'::timestamptz + n * interval '1 second',
                jsonb_build_object('source', 'web', 'items', n % 7, 'gift', n % 5 = 0)
            from generate_series(t * rows_each + 1, (t + 1) * rows_each) n;
        commit;
    end loop;
end $$;
