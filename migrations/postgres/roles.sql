-- For psql, once, as an administrator of the cluster. Give the two login roles a password (\password) or another way to
-- sign in. Nothing else needs an administrator: `strongroom migrate` works as strongroom_owner, the server as strongroom_runtime.

CREATE ROLE strongroom_owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
CREATE ROLE strongroom_runtime LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT;
CREATE ROLE strongroom_context NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
-- The owner hands the key of the tenant context to a role that nobody signs in as.
GRANT strongroom_context TO strongroom_owner;

CREATE DATABASE strongroom OWNER strongroom_owner;
REVOKE ALL ON DATABASE strongroom FROM PUBLIC;
GRANT CONNECT ON DATABASE strongroom TO strongroom_runtime;

\connect strongroom
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- All replicas are one role: an injected statement must not end the others' sessions, nor keep data where no policy looks.
REVOKE EXECUTE ON FUNCTION pg_cancel_backend(integer), pg_terminate_backend(integer, bigint) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
