BEGIN TRANSACTION;
CREATE TABLE charges (
	id VARCHAR NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME NOT NULL, 
	quarter_hour BIGINT NOT NULL, 
	operation VARCHAR NOT NULL, 
	method VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	requested_model VARCHAR, 
	model VARCHAR, 
	base_model VARCHAR, 
	service_tier VARCHAR, 
	status INTEGER, 
	streamed BOOLEAN NOT NULL, 
	client_gone BOOLEAN NOT NULL, 
	basis VARCHAR NOT NULL, 
	reason VARCHAR, 
	input_tokens BIGINT NOT NULL, 
	cached_tokens BIGINT NOT NULL, 
	output_tokens BIGINT NOT NULL, 
	usage JSON NOT NULL, 
	lines JSON NOT NULL, 
	unpriced JSON NOT NULL, 
	remarks JSON NOT NULL, 
	cost_pico BIGINT, 
	price_book VARCHAR NOT NULL, 
	"key" VARCHAR, 
	team VARCHAR, 
	project VARCHAR, 
	organization VARCHAR, 
	user VARCHAR, 
	tags JSON NOT NULL, 
	response_id VARCHAR, 
	upstream_request_id VARCHAR, 
	replica VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "charges" VALUES('fbx_1','2026-11-20 12:07:00.000000','2026-11-20 12:07:03.000000',1994640,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,10,0,1,'{"input_text_tokens": 10, "output_text_tokens": 1}','[]','{}','{}',1000,'2026-11-20.test',NULL,'ferry',NULL,NULL,'u1','{"stage": "test"}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_2','2026-11-20 12:14:00.000000','2026-11-20 12:14:03.000000',1994640,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,20,0,2,'{"input_text_tokens": 20, "output_text_tokens": 2}','[]','{}','{}',2000,'2026-11-20.test',NULL,'harbour',NULL,NULL,'u2','{}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_3','2026-11-20 12:21:00.000000','2026-11-20 12:21:03.000000',1994641,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'unknown',NULL,30,0,3,'{"input_text_tokens": 30, "output_text_tokens": 3}','[]','{}','{}',NULL,'2026-11-20.test',NULL,'ferry',NULL,NULL,'u0','{"stage": "test"}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_4','2026-11-20 12:28:00.000000','2026-11-20 12:28:03.000000',1994641,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,40,0,4,'{"input_text_tokens": 40, "output_text_tokens": 4}','[]','{}','{}',4000,'2026-11-20.test',NULL,'harbour',NULL,NULL,'u1','{}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_5','2026-11-20 12:35:00.000000','2026-11-20 12:35:03.000000',1994642,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,50,0,5,'{"input_text_tokens": 50, "output_text_tokens": 5}','[]','{}','{}',5000,'2026-11-20.test',NULL,'ferry',NULL,NULL,'u2','{"stage": "test"}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_6','2026-11-20 12:42:00.000000','2026-11-20 12:42:03.000000',1994642,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,60,0,6,'{"input_text_tokens": 60, "output_text_tokens": 6}','[]','{}','{}',6000,'2026-11-20.test',NULL,'harbour',NULL,NULL,'u0','{}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_7','2026-11-20 12:49:00.000000','2026-11-20 12:49:03.000000',1994643,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'unknown',NULL,70,0,7,'{"input_text_tokens": 70, "output_text_tokens": 7}','[]','{}','{}',NULL,'2026-11-20.test',NULL,'ferry',NULL,NULL,'u1','{"stage": "test"}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_8','2026-11-20 12:56:00.000000','2026-11-20 12:56:03.000000',1994643,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,80,0,8,'{"input_text_tokens": 80, "output_text_tokens": 8}','[]','{}','{}',8000,'2026-11-20.test',NULL,'harbour',NULL,NULL,'u2','{}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_9','2026-11-20 13:03:00.000000','2026-11-20 13:03:03.000000',1994644,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,90,0,9,'{"input_text_tokens": 90, "output_text_tokens": 9}','[]','{}','{}',9000,'2026-11-20.test',NULL,'ferry',NULL,NULL,'u0','{"stage": "test"}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_10','2026-11-20 13:10:00.000000','2026-11-20 13:10:03.000000',1994644,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,100,0,10,'{"input_text_tokens": 100, "output_text_tokens": 10}','[]','{}','{}',10000,'2026-11-20.test',NULL,'harbour',NULL,NULL,'u1','{}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_11','2026-11-20 13:17:00.000000','2026-11-20 13:17:03.000000',1994645,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'unknown',NULL,110,0,11,'{"input_text_tokens": 110, "output_text_tokens": 11}','[]','{}','{}',NULL,'2026-11-20.test',NULL,'ferry',NULL,NULL,'u2','{"stage": "test"}',NULL,NULL,'one');
INSERT INTO "charges" VALUES('fbx_12','2026-11-20 13:24:00.000000','2026-11-20 13:24:03.000000',1994645,'chat','POST','/v1/chat/completions','gpt-4.1','gpt-4.1','gpt-4.1','default',200,0,0,'reported',NULL,120,0,12,'{"input_text_tokens": 120, "output_text_tokens": 12}','[]','{}','{}',12000,'2026-11-20.test',NULL,'harbour',NULL,NULL,'u0','{}',NULL,NULL,'one');
CREATE INDEX ix_charges_quarter_hour ON charges (quarter_hour);
COMMIT;
