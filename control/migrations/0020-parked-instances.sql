-- An instance that is about to be restarted: gateways hold its connections until its host says what
-- became of it.
alter table instances add column parked boolean not null default false;
