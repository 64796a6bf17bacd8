update orders set amount = amount + 1, status = 'changed' where id between :first and :last
