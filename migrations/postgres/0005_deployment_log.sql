-- The deployment's own log: its leaves are heads of tenants' logs as they were signed, in the order in which they came. It belongs
-- to the root tenant. Each of its signed trees stands beside the edge that the next one grows from, and what witnesses cosigned.

CREATE TABLE strongroom.tenant_head (
    tenant_id bytea,
    place     bigint,
    head_of   bytea NOT NULL CHECK (octet_length(head_of) = 16),
    epoch     bigint NOT NULL,
    size      bigint NOT NULL,
    root      bytea NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (tenant_id, place)
);
CREATE INDEX tenant_head_of ON strongroom.tenant_head (tenant_id, head_of, place);

CREATE TABLE strongroom.deployment_tree (
    tenant_id bytea,
    size      bigint,
    frontier  bytea NOT NULL,
    note      bytea NOT NULL,
    PRIMARY KEY (tenant_id, size)
);

CREATE TABLE strongroom.cosignature (
    tenant_id bytea,
    size      bigint,
    witness   text,
    line      text NOT NULL,
    PRIMARY KEY (tenant_id, size, witness)
);

ALTER TABLE strongroom.tenant_head ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_head_in_context ON strongroom.tenant_head
    USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))
    WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]));
ALTER TABLE strongroom.deployment_tree ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY deployment_tree_in_context ON strongroom.deployment_tree
    USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))
    WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]));
ALTER TABLE strongroom.cosignature ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cosignature_in_context ON strongroom.cosignature
    USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))
    WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]));
GRANT SELECT, INSERT ON strongroom.tenant_head, strongroom.deployment_tree, strongroom.cosignature TO strongroom_runtime;
