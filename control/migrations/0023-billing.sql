-- What is asked for what was used: dated prices, invoices that never change, and what gives back.

create table rates (
  meter text collate "C" not null,
  -- The first instant of a month in UTC. Within a month there is one rate.
  active_from timestamptz not null check (active_from = date_trunc('month', active_from, 'UTC')),
  -- So much for so many units: of a counter units, of a gauge units that were held for all the month.
  micro_usd bigint not null check (micro_usd between 0 and 1000000000000),
  per_units bigint not null check (per_units > 0),
  created_at timestamptz not null default now(),
  primary key (meter, active_from)
);

comment on table rates is 'What is asked for what a meter counts, by the month from which on. Never edited.';
create trigger rates_append_only before update or delete or truncate on rates
  for each statement execute function refuse_change();

create table plan_prices (
  plan text collate "C" not null references plans (name),
  active_from timestamptz not null check (active_from = date_trunc('month', active_from, 'UTC')),
  base_price_micro_usd bigint not null check (base_price_micro_usd between 0 and 1000000000000),
  created_at timestamptz not null default now(),
  primary key (plan, active_from)
);

comment on table plan_prices is 'What a month on a plan costs, by the month from which on. Never edited.';
create trigger plan_prices_append_only before update or delete or truncate on plan_prices
  for each statement execute function refuse_change();

create table plan_allowances (
  plan text collate "C" not null,
  active_from timestamptz not null,
  meter text collate "C" not null,
  -- Of a counter in the month; of a gauge held for all of it.
  units bigint not null check (units >= 0),
  primary key (plan, active_from, meter),
  foreign key (plan, active_from) references plan_prices
);

comment on table plan_allowances is 'What the base price of a plan includes. A meter without a row: nothing.';
create trigger plan_allowances_append_only before update or delete or truncate on plan_allowances
  for each statement execute function refuse_change();

-- Nobody is billed for the time before there were prices.
insert into rates (meter, active_from, micro_usd, per_units)
  select meter, date_trunc('month', now(), 'UTC'), micro_usd, per_units
    from (values ('api_requests', 2500000, 1000000),
                 ('storage_bytes', 250000, 1073741824),
                 ('file_bytes', 23000, 1073741824),
                 ('egress_bytes', 90000, 1073741824)) as r (meter, micro_usd, per_units);
insert into plan_prices (plan, active_from, base_price_micro_usd)
  select name, date_trunc('month', now(), 'UTC'), base_price_micro_usd from plans;
-- What a quota lets a tenant use is included; of what is unlimited, so much as stands here.
insert into plan_allowances (plan, active_from, meter, units)
  select p.name, date_trunc('month', now(), 'UTC'), a.meter, a.units
    from plans p
   cross join lateral (values
     ('api_requests', coalesce(p.api_requests_per_month, 10000000)),
     ('storage_bytes', coalesce(p.storage_bytes, 1099511627776)),
     ('file_bytes', coalesce(p.file_storage_bytes, 1099511627776)),
     ('egress_bytes', case p.name when 'free' then 5368709120
                                  when 'pro' then 107374182400
                                  else 1099511627776 end)) as a (meter, units);

create table invoices (
  id text collate "C" primary key,
  -- Invoices and credit notes are numbered together, without gaps, in the order they were made.
  number bigint not null unique check (number > 0),
  tenant_id text collate "C" not null,
  -- As the tenant was called then: names are free again after a deletion.
  tenant_name text collate "C" not null,
  month timestamptz not null check (month = date_trunc('month', month, 'UTC')),
  subtotal_micro_usd bigint not null check (subtotal_micro_usd >= 0),
  -- What earlier credit notes paid of it.
  credit_micro_usd bigint not null check (credit_micro_usd between 0 and subtotal_micro_usd),
  total_micro_usd bigint not null check (total_micro_usd = subtotal_micro_usd - credit_micro_usd),
  -- Of everything that the invoice follows from.
  inputs_sha256 text not null check (inputs_sha256 ~ '^[0-9a-f]{64}$'),
  closed_at timestamptz not null default now(),
  unique (tenant_id, month)
);

comment on table invoices is 'The closed bill of each tenant and month. Never edited: credit notes correct.';
create index invoices_month on invoices (month, tenant_id);
create trigger invoices_append_only before update or delete or truncate on invoices
  for each statement execute function refuse_change();

create table invoice_lines (
  invoice_id text collate "C" not null references invoices (id),
  line smallint not null check (line > 0),
  kind text not null check (kind in ('plan', 'usage')),
  -- A plan or a meter.
  subject text collate "C" not null,
  -- Seconds on the plan; what the meter counted, of a gauge units times milliseconds.
  quantity numeric(38) not null check (quantity >= 0),
  allowance numeric(38) not null check (allowance >= 0),
  billable numeric(38) not null check (billable = greatest(quantity - allowance, 0)),
  micro_usd bigint not null check (micro_usd >= 0),
  per numeric(38) not null check (per > 0),
  -- billable * micro_usd / per, rounded half to even to whole cents.
  amount_micro_usd bigint not null check (amount_micro_usd >= 0 and amount_micro_usd % 10000 = 0),
  primary key (invoice_id, line)
);

comment on table invoice_lines is 'What an invoice consists of, with all that each amount follows from.';
create trigger invoice_lines_append_only before update or delete or truncate on invoice_lines
  for each statement execute function refuse_change();

create table credit_notes (
  id text collate "C" primary key,
  number bigint not null unique check (number > 0),
  tenant_id text collate "C" not null,
  -- The invoice that it corrects; null: it is given for another reason.
  invoice_id text collate "C" references invoices (id),
  amount_micro_usd bigint not null check (amount_micro_usd > 0 and amount_micro_usd % 10000 = 0),
  reason text not null check (length(reason) between 1 and 500),
  -- The caller's idempotency key.
  request_id text collate "C" unique,
  created_at timestamptz not null default now()
);

comment on table credit_notes is 'What is given back to tenants: it pays their next invoices. Never edited.';
create index credit_notes_tenant on credit_notes (tenant_id, number);
create trigger credit_notes_append_only before update or delete or truncate on credit_notes
  for each statement execute function refuse_change();

create table closed_months (
  month timestamptz primary key check (month = date_trunc('month', month, 'UTC')),
  closed_at timestamptz not null default now()
);

comment on table closed_months is 'Months of which every tenant has its invoice.';
create trigger closed_months_append_only before update or delete or truncate on closed_months
  for each statement execute function refuse_change();

-- The next number of an invoice or a credit note. Whoever asks is the only one until its transaction
-- ends, so that there are no gaps and numbers tell what was there before what.
create function next_bill_number() returns bigint language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtext('bill_numbers'));
  return greatest((select coalesce(max(number), 0) from invoices),
                  (select coalesce(max(number), 0) from credit_notes)) + 1;
end $$;

comment on function next_bill_number is
  'Waits until it is alone and returns the number of the next invoice or credit note.';
