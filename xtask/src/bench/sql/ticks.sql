create table ticks (mark text not null);
