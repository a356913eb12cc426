#error the settings of another library
