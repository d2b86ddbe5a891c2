-- Events are asked for by when they happened: of a long log few, from its end or its middle.

create index events_at on events using brin (at) with (autosummarize = on);
