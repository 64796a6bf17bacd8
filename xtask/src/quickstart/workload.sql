\set customer random(1, 200)
\set product random(0, 49)
\set quantity random(1, 5)
\set chance random(1, 100)
begin;
with placed as (
    insert into orders (customer_id, note)
        values (:customer, case when :chance % 3 = 0 then 'gift, "wrapped" – ' || :chance end) returning id
), chosen as (
    select sku, price from products order by sku offset :product limit 2
), items as (
    insert into order_items
        select placed.id, row_number() over (), sku, :quantity, price from placed, chosen returning order_id, quantity * price as total
)
insert into payments (order_id, amount, details)
    select order_id, sum(total), jsonb_build_object('method', 'card', 'attempts', :chance % 3 + 1) from items group by order_id;
-- The manual is not in the WAL of this.
update products set stock = stock - :quantity where sku = (select sku from products order by sku offset :product limit 1);
commit;
update orders set status = 'shipped' where id = (select max(id) - 20 from orders) and :chance <= 80;
update payments set captured = true where order_id = (select max(id) - 20 from orders) and :chance <= 80;
delete from orders where id = (select max(id) - 30 from orders) and :chance > 85;
update customers set preferences = preferences || '{"newsletter": false}' where id = :customer and :chance > 90;
update products set manual = reverse(manual) where sku = (select sku from products order by sku offset :product limit 1) and :chance = 1;
