-- The sample shop: what the orders refer to.
INSERT INTO countries VALUES
    ('AR', 'Argentina', 'ARS'), ('AT', 'Austria', 'EUR'), ('AU', 'Australia', 'AUD'), ('BE', 'Belgium', 'EUR'),
    ('BR', 'Brazil', 'BRL'), ('CA', 'Canada', 'CAD'), ('CH', 'Switzerland', 'CHF'), ('CL', 'Chile', 'CLP'),
    ('CZ', 'Czechia', 'CZK'), ('DE', 'Germany', 'EUR'), ('DK', 'Denmark', 'DKK'), ('EG', 'Egypt', 'EGP'),
    ('ES', 'Spain', 'EUR'), ('FI', 'Finland', 'EUR'), ('FR', 'France', 'EUR'), ('GB', 'United Kingdom', 'GBP'),
    ('GR', 'Greece', 'EUR'), ('IE', 'Ireland', 'EUR'), ('IN', 'India', 'INR'), ('IT', 'Italy', 'EUR'),
    ('JP', 'Japan', 'JPY'), ('KE', 'Kenya', 'KES'), ('KR', 'South Korea', 'KRW'), ('MX', 'Mexico', 'MXN'),
    ('NG', 'Nigeria', 'NGN'), ('NL', 'Netherlands', 'EUR'), ('NO', 'Norway', 'NOK'), ('NZ', 'New Zealand', 'NZD'),
    ('PL', 'Poland', 'PLN'), ('PT', 'Portugal', 'EUR'), ('SE', 'Sweden', 'SEK'), ('SG', 'Singapore', 'SGD'),
    ('TR', 'Turkey', 'TRY'), ('UA', 'Ukraine', 'UAH'), ('US', 'United States', 'USD'), ('ZA', 'South Africa', 'ZAR');

INSERT INTO customers
SELECT i,
       first[1 + pick(i, 1, 12)] || ' ' || last[1 + pick(i, 2, 12)],
       'customer' || i || '@example.com',
       (SELECT code FROM countries ORDER BY code OFFSET pick(i, 3, 36) LIMIT 1),
       date '2018-01-01' + pick(i, 4, 2000)::int
FROM generate_series(1, 10000) AS i,
     (SELECT ARRAY['Ada', 'Björn', 'Chen', 'Dmytro', 'Elif', 'Fatima', 'Grace', 'Hiro', 'Inés', 'João', 'Kofi', 'Lucía'] AS first,
             ARRAY['Ahlström', 'Brown', 'Costa', 'Dubois', 'Eze', 'Fischer', 'Gupta', 'Horák', 'Ivanenko', 'Jensen', 'Kim', 'López'] AS last) AS names;

INSERT INTO products
SELECT i,
       kind[1 + pick(i, 11, 8)] || ' ' || thing[1 + pick(i, 12, 8)] || ' ' || i,
       category[1 + pick(i, 13, 5)],
       (99 + pick(i, 14, 49900)) / 100.0
FROM generate_series(1, 1000) AS i,
     (SELECT ARRAY['Blue', 'Folding', 'Heavy', 'Light', 'Quiet', 'Small', 'Solid', 'Striped'] AS kind,
             ARRAY['bag', 'chair', 'clock', 'kettle', 'lamp', 'pan', 'radio', 'rug'] AS thing,
             ARRAY['garden', 'home', 'kitchen', 'music', 'travel'] AS category) AS words;
