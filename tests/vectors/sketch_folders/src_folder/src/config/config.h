#pragma once

#define FIRST_LEVEL false
