create table orders (
    id bigint primary key,
    customer int4 not null,
    created timestamptz not null,
    body text not null
);
-- Bodies that no file compresses to nothing: few repeat, and those lie far apart.
create table bodies as
    select n, string_agg(md5(n || '/' || part), '') as body
    from generate_series(0, 996) n, generate_series(1, 64) part group by n;
create unique index on bodies (n);
