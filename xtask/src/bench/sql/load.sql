create procedure load(first bigint, last bigint, rows_each bigint) language plpgsql as $$
declare
    upto bigint;
begin
    while first <= last loop
        upto := least(first + rows_each - 1, last);
        if rows_each = 1 then
            -- Or each row would wait for the disk.
            set local synchronous_commit = off;
        end if;
        :change;
        commit;
        first := upto + 1;
    end loop;
end $$;
