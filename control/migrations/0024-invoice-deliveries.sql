-- Invoices on their way to whoever collects the money.

create table payers (
  tenant_id text collate "C" not null,
  provider text not null,
  -- What the provider calls the tenant.
  reference text not null,
  primary key (tenant_id, provider)
);

comment on table payers is 'What those who collect money call the tenants.';

create table invoice_deliveries (
  invoice_id text collate "C" primary key references invoices (id),
  provider text not null,
  -- What the provider calls the invoice, once it has it.
  reference text,
  delivered_at timestamptz check ((delivered_at is null) = (reference is null)),
  failures integer not null default 0 check (failures >= 0),
  last_error text,
  due_at timestamptz not null default now()
);

comment on table invoice_deliveries is
  'Closed invoices that are handed to whoever collects the money, or were.';
create index invoice_deliveries_due on invoice_deliveries (due_at) where delivered_at is null;
