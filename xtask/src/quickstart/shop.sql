create table customers (
    id bigint generated always as identity primary key,
    email text not null unique,
    name text not null,
    preferences jsonb not null default '{}',
    joined timestamptz not null default now()
);
create table products (
    sku uuid primary key default gen_random_uuid(),
    name text not null,
    price numeric(10,2) not null,
    tags text[] not null default '{}',
    stock int not null default 0,
    -- Long and incompressible, so that it is stored out of line and absent from the WAL of most updates.
    manual text not null
);
create table orders (
    id bigint generated always as identity primary key,
    customer_id bigint not null references customers,
    status text not null default 'new',
    placed timestamptz not null default clock_timestamp(),
    note text
);
create table order_items (
    order_id bigint not null references orders on delete cascade,
    line int not null,
    sku uuid not null references products,
    quantity int not null,
    price numeric(10,2) not null,
    primary key (order_id, line)
);
create table payments (
    id uuid primary key default gen_random_uuid(),
    order_id bigint not null references orders on delete cascade,
    amount numeric(12,2) not null,
    paid date not null default current_date,
    captured boolean not null default false,
    details jsonb
);
