CREATE TABLE "run_vars" (
	"tenant_id" text COLLATE "C" NOT NULL,
	"run_id" text COLLATE "C" NOT NULL,
	"name" text COLLATE "C" NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "run_vars_tenant_id_run_id_name_pk" PRIMARY KEY("tenant_id","run_id","name")
);
--> statement-breakpoint
ALTER TABLE "run_payloads" ADD COLUMN "vars_rest" text;--> statement-breakpoint
ALTER TABLE "run_payloads" ADD CONSTRAINT "run_payloads_vars_once" CHECK (vars is null or vars_rest is null) NOT VALID;