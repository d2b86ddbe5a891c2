-- The verifier that is in force while a newer one is on its way; else empty. Both have one salt, so that
-- gateways can judge by either in one exchange.
alter table tenants add column previous_verifier text not null default '';
