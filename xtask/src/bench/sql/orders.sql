create table orders (
    id bigint primary key,
    customer int4 not null,
    amount numeric(12,2) not null,
    status text not null,
    note text,
    created timestamptz not null,
    payload jsonb
);
