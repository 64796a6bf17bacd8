insert into customers (email, name, preferences)
    select 'customer' || n || '@example.com', 'Customer ' || n, jsonb_build_object('newsletter', n % 2 = 0, 'language', 'en')
    from generate_series(1, 200) n;
insert into products (name, price, tags, stock, manual)
    select 'Product ' || n, (1 + n * 7 % 100) + 0.99, array['season' || n % 4, case when n % 3 = 0 then 'sale' end], 1000,
        (select string_agg(md5(n::text || part), '') from generate_series(1, 300) part)
    from generate_series(1, 50) n;
