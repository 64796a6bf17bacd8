-- What is changed, and what a change leaves behind here: a row of audit each, in the same transaction.
create table accounts (id bigint primary key, n int not null, amount numeric(12,2), note text);
create table documents (id bigint, part text, title text, body text not null, primary key (id, part));
create table pages (id bigint primary key, title text, body text not null);
create table scratch (id bigint primary key, note text);
create table events (kind int not null, note text not null);
create table journal (id bigint primary key, batch int not null, note text);
-- Out of line and not compressed, so that updates of other columns leave it out of the WAL.
alter table documents alter column body set storage external;
alter table pages alter column body set storage external;
alter table pages replica identity full;
alter table events replica identity full;

create table audit (
    id bigint generated always as identity primary key,
    xid bigint not null default pg_current_xact_id()::text::bigint & 4294967295,
    relation text not null,
    op text not null,
    before jsonb,
    after jsonb
);

create function digest(image jsonb) returns jsonb language sql immutable as $$
    select case when image ? 'body' then jsonb_set(image, '{body}', to_jsonb(md5(image ->> 'body'))) else image end
$$;

create function record() returns trigger language plpgsql as $$
begin
    insert into audit (relation, op, before, after) values (
        tg_table_name,
        lower(tg_op),
        case when tg_op in ('UPDATE', 'DELETE') then digest(to_jsonb(old)) end,
        case when tg_op in ('INSERT', 'UPDATE') then digest(to_jsonb(new)) end
    );
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['accounts', 'documents', 'pages', 'scratch', 'events', 'journal'] loop
        execute format('create trigger changed after insert or update or delete on %I for each row execute function record()', name);
        execute format('create trigger emptied after truncate on %I for each statement execute function record()', name);
    end loop;
end $$;
