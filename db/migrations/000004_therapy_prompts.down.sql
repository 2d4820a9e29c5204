DROP TABLE therapy_prompts;
DROP TYPE prompt_category;
